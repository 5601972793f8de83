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
// The same from the right.
std::vector<std::string> split_right(std::string_view text, std::optional<std::string_view> separator, std::int64_t count);
// At all of Python's line ends, which stand in no part.
std::vector<std::string> split_lines(std::string_view text);

// \w of Python's re.
bool is_word(std::string_view point);
// Python's isupper and islower: no letter of the other case, and one of this.
bool is_cased(std::string_view text, bool upper);
enum class Kind { alpha, digit, decimal, numeric, alnum, space };
// Python's isalpha and its like: at least one character, and all of them.
bool is_all(std::string_view text, Kind kind);
// str.title, whose words are runs of letters; Jinja's filter is `title`.
std::string title_words(std::string_view text);
std::string swap_case(std::string_view text);

}  // namespace redoubt::engine::chat_template
