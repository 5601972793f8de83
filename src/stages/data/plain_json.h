// SPDX-License-Identifier: Apache-2.0
//
// The quick way through rows of ordinary JSON.
#pragma once

#include <optional>
#include <string_view>

#include "base/json.h"

namespace redoubt::stages::data {

// What parse_json answers, several times quicker, or nothing: for what is no JSON, and for what is written in a way that rows of text
// seldom are (fractions, numbers of more than 18 digits, deep nesting, lone surrogates, a key twice). The text is UTF-8.
std::optional<Json> parse_plain_json(std::string_view text);

}  // namespace redoubt::stages::data
