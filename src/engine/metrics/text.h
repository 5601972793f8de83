// SPDX-License-Identifier: Apache-2.0
//
// Texts cut as Python cuts them, which the judges of these metrics are written in.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace redoubt::engine::metrics {

std::u32string code_points(std::string_view text);
// str.isspace of one character.
bool is_space(char32_t c);
// str.split without arguments.
std::vector<std::u32string> split(std::u32string_view text);
// How many parts re.split(r"\s+", text) has: one more than runs of white space.
std::size_t count_split(std::string_view text);
// The bytes that str.rstrip leaves.
std::size_t trimmed_end(std::string_view text);
// Tokenizer 13a of sacrebleu over a text that was stripped at its end.
std::vector<std::u32string> words_13a(std::string_view text);
// The words that rouge-score sees: runs of ASCII letters and digits, in lower case.
std::vector<std::string> words_rouge(std::string_view text);

}  // namespace redoubt::engine::metrics
