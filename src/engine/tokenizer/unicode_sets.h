// SPDX-License-Identifier: Apache-2.0
//
// Which characters the parts of a tokenizer treat alike. The tokenizers package takes each of these from another library, and
// every library has the tables of its own Unicode version; a set here is the package's own, to the last code point.
#pragma once

#include <cstdint>
#include <string>

namespace redoubt::engine::tokenizer {

// White_Space, which no version of Unicode has changed since 6.3.
bool is_white_space(std::uint32_t c);
// General category N of Unicode 17: the pre-tokenizer Digits.
bool is_numeric(std::uint32_t c);
// Punctuation of Unicode 8, and of ASCII: the pre-tokenizers Punctuation and BertPreTokenizer.
bool is_punctuation(std::uint32_t c);
// \w of Unicode 16: the pre-tokenizer Whitespace and added tokens that must stand alone.
bool is_word(std::uint32_t c);
// Mn of Unicode 8: what BertNormalizer strips.
bool is_nonspacing_mark(std::uint32_t c);
// M of Unicode 9: what StripAccents strips.
bool is_combining_mark(std::uint32_t c);
// Cc, Cf and Co of Unicode 8 and U+FFFD, but for tab and line ends: what BertNormalizer cleans away.
bool is_control(std::uint32_t c);

// Appends the lower case of one character by itself (Unicode 17).
void append_lower(std::string& to, std::uint32_t c);

// The script of Unicode 9 as the pre-tokenizer UnicodeScripts groups it; kAnyScript goes with all.
inline constexpr std::int32_t kAnyScript = -1;
std::int32_t script_of(std::uint32_t c);

enum class NormalForm { nfc, nfd, nfkc, nfkd };
// Unicode 9: later characters are left alone. `text` must be UTF-8.
std::string to_normal_form(NormalForm form, const std::string& text);

}  // namespace redoubt::engine::tokenizer
