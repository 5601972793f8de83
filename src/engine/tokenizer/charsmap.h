// SPDX-License-Identifier: Apache-2.0
//
// SentencePiece's table of replacements ("precompiled_charsmap"): a double-array trie (Darts) of what is replaced, with offsets
// into a row of texts that end in NUL.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace redoubt::engine::tokenizer {

class Charsmap {
 public:
  // `encoded` is base64. invalid_argument for a table that does not hold together.
  static Result<Charsmap> parse(std::string_view encoded, const std::string& where);

  // What stands for the text, if the table has an entry that begins it: the shortest such entry counts for the whole text, as in
  // the tokenizers package.
  std::optional<std::string_view> replacement(std::string_view text) const;

 private:
  std::vector<std::uint32_t> units_;
  std::string texts_;
};

}  // namespace redoubt::engine::tokenizer
