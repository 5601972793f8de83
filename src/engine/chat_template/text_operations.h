// SPDX-License-Identifier: Apache-2.0
//
// Python's string operations that templates call, counted in code points as Python counts.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace redoubt::engine::chat_template {

std::size_t length_of(std::string_view text);
// The code points from `begin` to `end`, `begin` <= `end` <= length.
std::string_view substring(std::string_view text, std::size_t begin, std::size_t end);
std::vector<std::string_view> code_points(std::string_view text);

enum class Sides { both, left, right };
// Without white space, or without the characters of `characters`.
std::string_view strip(std::string_view text, Sides sides, std::optional<std::string_view> characters = std::nullopt);

std::string upper(std::string_view text);
std::string lower(std::string_view text);
std::string capitalize(std::string_view text);
std::string title(std::string_view text);

// At most `count` replacements; negative is all.
std::string replace(std::string_view text, std::string_view from, std::string_view to, std::int64_t count);
// Python's split: at white space when there is no separator; at most `count` cuts, negative is all.
std::vector<std::string> split(std::string_view text, std::optional<std::string_view> separator, std::int64_t count);
std::vector<std::string> split_lines(std::string_view text);

}  // namespace redoubt::engine::chat_template
