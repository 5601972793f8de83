// SPDX-License-Identifier: Apache-2.0
//
// BERT's WordPiece (the longest token first, then the longest that goes on, or the whole word is unknown) and WordLevel (a word is
// a token or unknown).
#pragma once

#include "engine/tokenizer/byte_tree.h"
#include "engine/tokenizer/model.h"
#include "engine/tokenizer/vocabulary.h"

namespace redoubt::engine::tokenizer {

class WordPiece final : public Model {
 public:
  // For the types WordPiece and WordLevel.
  static Result<std::unique_ptr<Model>> parse(const Json& model, const std::string& type, const std::string& where);

  Status encode(std::string_view word, Ids& ids) const override;
  std::optional<std::int32_t> id_of(std::string_view token) const override { return vocabulary_.find(token); }
  std::string_view token(std::int32_t id) const override { return vocabulary_.tokens()[static_cast<std::size_t>(id)]; }
  std::int32_t size() const override { return static_cast<std::int32_t>(vocabulary_.tokens().size()); }
  std::int32_t count() const override { return static_cast<std::int32_t>(vocabulary_.count()); }

 private:
  Status add_unknown(Ids& ids) const;
  bool cut(std::string_view word, Ids& ids) const;

  Vocabulary vocabulary_;
  std::string unknown_;
  bool whole_words_ = false;
  std::size_t characters_max_ = 100;
  ByteTree begins_, goes_on_;
};

}  // namespace redoubt::engine::tokenizer
