// SPDX-License-Identifier: Apache-2.0
//
// How a text is cut into the words that the model never crosses, as tokenizer.json's "pre_tokenizer" says.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "engine/tokenizer/piece.h"

namespace redoubt::engine::tokenizer {

// One rule: a piece in, pieces out, in order and none empty.
class PreTokenizerStep {
 public:
  virtual ~PreTokenizerStep() = default;
  virtual Status run(const Piece& piece, Arena& arena, Pieces& out) const = 0;
};
using PreTokenizerStepPtr = std::unique_ptr<PreTokenizerStep>;

class PreTokenizer {
 public:
  // Null is none. An unknown type is unsupported by its name.
  static Result<PreTokenizer> parse(const Json& description, const std::string& where);

  // Puts the words of `piece`, which must be UTF-8, into `out`; `spare` is room to work in.
  Status run(const Piece& piece, Arena& arena, Pieces& out, Pieces& spare) const;

  // Whether the last step writes bytes as characters (byte_level.h); `leave_bytes` takes it out, for a model that reads bytes.
  bool ends_in_bytes() const { return ends_in_bytes_; }
  void leave_bytes();
  // Whether text can go missing on the way.
  bool removes() const { return removes_; }

 private:
  Status add(const Json& step, const std::string& where, int depth);
  Status add_byte_level(const Json& step, const std::string& where);
  std::vector<PreTokenizerStepPtr> steps_;
  bool ends_in_bytes_ = false, removes_ = false;
};

}  // namespace redoubt::engine::tokenizer
