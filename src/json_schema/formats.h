// SPDX-License-Identifier: Apache-2.0
//
// What JSON Schema's `format` leaves of all strings, where OpenAI's structured outputs know it: the forms that a model's reader certainly
// takes, which are fewer than the standards allow.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace redoubt::json_schema {

// The format's strings as a pattern; nothing for another format.
std::optional<std::string> pattern_of_format(std::string_view name);

}  // namespace redoubt::json_schema
