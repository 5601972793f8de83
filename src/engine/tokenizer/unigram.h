// SPDX-License-Identifier: Apache-2.0
//
// SentencePiece's Unigram model: of all ways to write a word in tokens the one with the greatest sum of scores (Viterbi).
#pragma once

#include <array>

#include "engine/tokenizer/byte_tree.h"
#include "engine/tokenizer/model.h"
#include "engine/tokenizer/vocabulary.h"

namespace redoubt::engine::tokenizer {

class Unigram final : public Model {
 public:
  static Result<std::unique_ptr<Model>> parse(const Json& model, const std::string& where);

  Status encode(std::string_view word, Ids& ids) const override;
  std::optional<std::int32_t> id_of(std::string_view token) const override;
  std::string_view token(std::int32_t id) const override { return tokens_[static_cast<std::size_t>(id)]; }
  std::int32_t size() const override { return static_cast<std::int32_t>(tokens_.size()); }
  std::int32_t count() const override { return size(); }
  bool keeps_all() const override;

 private:
  Status read_vocabulary(const Json& model, const std::string& where);
  Status add_token(std::string_view text, Ids& ids) const;

  std::vector<std::string> tokens_;
  std::vector<double> scores_;
  IdsByText ids_;
  ByteTree tree_;
  double unknown_score_ = 0;
  std::int32_t unknown_ = -1;
  bool falls_back_ = false;
  std::array<std::int32_t, 256> byte_ids_{};
};

// A number as serde_json reads it, which is not always the nearest double: its digits as a whole number, times or over a power of
// ten. Scores that differ in the last bit break ties another way.
double serde_number(double nearest);

}  // namespace redoubt::engine::tokenizer
