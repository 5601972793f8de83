// SPDX-License-Identifier: Apache-2.0
//
// Sets of characters as Oniguruma 6.9 knows them (Unicode 16), whatever version PCRE2 and ICU carry.
#pragma once

#include <unicode/uniset.h>

#include <optional>
#include <string>
#include <string_view>

namespace redoubt::engine::tokenizer {

struct CharacterSet {
  std::string members = {};     // as members of a PCRE2 class, the quickest way to write them
  icu::UnicodeSet exact = {};   // the same, spelt out
};

CharacterSet white_space();    // \s
CharacterSet decimal_digits(); // \d
CharacterSet hex_digits();     // \h
// Where a set is written: some are not the same in a class.
enum class Stands { alone, in_class };
CharacterSet word(Stands stands);  // \w

// \p{name}: a general category, a common alias or a script. Nothing for a name that is not known.
std::optional<CharacterSet> property_set(std::string_view name, Stands stands);
// [:name:]
std::optional<CharacterSet> bracket_set(std::string_view name);

CharacterSet complement_of(const CharacterSet& set);
// A set that has no shorter way to be written than its ranges.
CharacterSet spelt_out(icu::UnicodeSet exact);

}  // namespace redoubt::engine::tokenizer
