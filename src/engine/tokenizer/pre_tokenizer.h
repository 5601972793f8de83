// SPDX-License-Identifier: Apache-2.0
//
// How a text is cut into the words that byte-pair merging never crosses, as tokenizer.json's "pre_tokenizer" says.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "engine/tokenizer/regex.h"

namespace redoubt::engine::tokenizer {

// One rule: text in, pieces out, in order.
class Splitter {
 public:
  virtual ~Splitter() = default;
  virtual Status split(std::string text, std::vector<std::string>& pieces) const = 0;
};

class PreTokenizer {
 public:
  // Knows Sequence, Digits, Split and ByteLevel; another type is unsupported by its name. ByteLevel must be the last, since
  // only byte-level vocabularies are read.
  static Result<PreTokenizer> parse(const Json& description, const std::string& where);

  // `text` must be UTF-8.
  Result<std::vector<std::string>> split(std::string_view text) const;

 private:
  std::vector<std::unique_ptr<Splitter>> steps_;
};

}  // namespace redoubt::engine::tokenizer
