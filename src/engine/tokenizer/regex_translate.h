// SPDX-License-Identifier: Apache-2.0
//
// A regular expression written for Oniguruma (with the Ruby syntax that the tokenizers package sets) as PCRE2 has to read it.
// Sets of characters that the two see differently are spelt out; a construct whose meaning differs and is not rewritten is
// refused by its name.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace redoubt::engine::tokenizer {

// For PCRE2 with UTF, UCP and MULTILINE set and "\n" as the newline.
Result<std::string> translate_pattern(std::string_view pattern, std::string_view where);

}  // namespace redoubt::engine::tokenizer
