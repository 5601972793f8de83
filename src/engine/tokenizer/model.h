// SPDX-License-Identifier: Apache-2.0
//
// What turns one word into ids: tokenizer.json's "model". BPE, Unigram, WordPiece and WordLevel.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace redoubt::engine::tokenizer {

using Ids = std::vector<std::int32_t>;

// Immutable and safe from several threads.
class Model {
 public:
  virtual ~Model() = default;

  // Appends the ids of a word, which is not empty. invalid_argument for a word that needs the unknown token when there is none.
  virtual Status encode(std::string_view word, Ids& ids) const = 0;

  virtual std::optional<std::int32_t> id_of(std::string_view token) const = 0;
  // The text of a token as written in the file; empty for an id that the vocabulary skips.
  virtual std::string_view token(std::int32_t id) const = 0;
  // One more than the greatest id.
  virtual std::int32_t size() const = 0;
  // How many tokens there are: the first added token that is new gets this number.
  virtual std::int32_t count() const = 0;
  // Whether every byte of a text has to be found again in its ids, so that a token's length bounds what it can stand for.
  virtual bool keeps_all() const { return false; }

  // Reads words as raw bytes from now on, not in the characters that stand for bytes (byte_level.h); false, and nothing changed,
  // when the ids could come out otherwise.
  virtual bool read_bytes() { return false; }
};

// A type that is not known, or an option that is not computed exactly, is unsupported by its name.
Result<std::unique_ptr<Model>> parse_model(const Json& model, const std::string& where);

}  // namespace redoubt::engine::tokenizer
