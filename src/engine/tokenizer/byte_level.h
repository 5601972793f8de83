// SPDX-License-Identifier: Apache-2.0
//
// GPT-2's way to write any byte as a printable character: the vocabulary of a byte-level tokenizer is written in it.
#pragma once

#include <string>
#include <string_view>

namespace redoubt::engine::tokenizer {

// The bytes that a token's text stands for. A text with a character that stands for no byte stands for itself.
std::string bytes_of_token(std::string_view text);

}  // namespace redoubt::engine::tokenizer
