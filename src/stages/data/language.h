// SPDX-License-Identifier: Apache-2.0
//
// What a text is written in.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace redoubt::stages::data {

// The language of most of a text as ISO 639-1 names it ("en", "zh-Hant" where the script tells more), by its script and its n-grams
// (Debian's CLD2, 83 languages); empty where the text has fewer letters, or none is sure. Looks at the first 4 KiB.
std::string language_of(std::string_view text, std::uint64_t letters_min);

// Whether a language is one of those expected: "zh" takes "zh-Hant" too.
bool is_expected(std::string_view language, const std::string& expected);

// What bytes that are not UTF-8 look like: "UTF-16LE", "ISO-8859-1", "Shift_JIS" and so on (ICU's detector); empty where that is unsure.
std::string encoding_of(std::string_view bytes);

}  // namespace redoubt::stages::data
