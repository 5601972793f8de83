// SPDX-License-Identifier: Apache-2.0
//
// GPT-2's way to write any byte as a printable character: the vocabulary of a byte-level tokenizer is written in it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace redoubt::engine::tokenizer {

// The bytes that a token's text stands for. A text with a character that stands for no byte stands for itself.
std::string bytes_of_token(std::string_view text);
// Whether it is written in the characters that stand for bytes alone.
bool is_byte_level(std::string_view text);
// The byte that a character stands for, or -1.
int byte_of_character(std::uint32_t c);

// Appends bytes in this writing.
void append_byte_level(std::string& to, std::string_view bytes);

}  // namespace redoubt::engine::tokenizer
