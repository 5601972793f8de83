// SPDX-License-Identifier: Apache-2.0
//
// How a text is changed before it is cut, as tokenizer.json's "normalizer" says.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "engine/tokenizer/piece.h"

namespace redoubt::engine::tokenizer {

// One rule: a piece in, a piece out.
class NormalizerStep {
 public:
  virtual ~NormalizerStep() = default;
  virtual Result<Piece> run(const Piece& piece, Arena& arena) const = 0;
};

class Normalizer {
 public:
  // Null is no normalizer. An unknown type is unsupported by its name.
  static Result<Normalizer> parse(const Json& description, const std::string& where);

  // `piece` must be UTF-8; so is the answer. limit_exceeded when the text grows beyond all measure.
  Result<Piece> run(Piece piece, Arena& arena) const;
  bool empty() const { return steps_.empty(); }
  // Whether a text can come to have fewer bytes.
  bool shortens() const { return shortens_; }

 private:
  Status add(const Json& step, const std::string& where, int depth);
  std::vector<std::unique_ptr<NormalizerStep>> steps_;
  bool shortens_ = false;
};

}  // namespace redoubt::engine::tokenizer
