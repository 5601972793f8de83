// SPDX-License-Identifier: Apache-2.0
//
// JSON as text, for who writes it piece by piece: the bytes are those of dump_json.
#pragma once

#include <string>
#include <string_view>

namespace redoubt {

// Appends a text with its quotes. What is no UTF-8 in it is written as U+FFFD.
void append_json_string(std::string& out, std::string_view text);

}  // namespace redoubt
