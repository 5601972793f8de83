// SPDX-License-Identifier: Apache-2.0
//
// Byte-pair merging: of all neighbouring pairs the one with the lowest rank is merged first, the leftmost of equals. A heap keeps
// long words at n log n.
#pragma once

#include <array>
#include <optional>

#include "engine/tokenizer/merge_table.h"
#include "engine/tokenizer/model.h"
#include "engine/tokenizer/vocabulary.h"

namespace redoubt::engine::tokenizer {

class Bpe final : public Model {
 public:
  // Reads tokenizer.json's "model". Dropout, which makes the ids a matter of luck, is unsupported.
  static Result<std::unique_ptr<Model>> parse(const Json& model, const std::string& where);

  Status encode(std::string_view word, Ids& ids) const override;
  std::optional<std::int32_t> id_of(std::string_view token) const override { return vocabulary_.find(token); }
  std::string_view token(std::int32_t id) const override { return vocabulary_.tokens()[static_cast<std::size_t>(id)]; }
  std::int32_t size() const override { return static_cast<std::int32_t>(vocabulary_.tokens().size()); }
  std::int32_t count() const override { return static_cast<std::int32_t>(vocabulary_.count()); }
  bool keeps_all() const override;
  bool read_bytes() override;

 private:
  Status read_options(const Json& model, const std::string& where);
  Status read_merges(const Json& model, const std::string& where);
  void index_characters();
  // The word's first pieces: characters, or bytes.
  void cut_to_bytes(std::string_view word, Ids& pieces) const;
  Status cut_to_characters(std::string_view word, Ids& pieces) const;
  std::optional<std::int32_t> find_character(std::string_view character, bool first, bool last) const;
  bool add_fallback(std::string_view text, Ids& pieces) const;
  void merge(Ids& pieces, Ids& ids) const;

  Vocabulary vocabulary_;
  MergeTable merges_;
  std::optional<std::string> unknown_ = {};
  std::string prefix_ = {}, suffix_ = {};
  bool fuses_unknown_ = false, falls_back_ = false, ignores_merges_ = false, reads_bytes_ = false;
  std::array<std::int32_t, 256> byte_ids_{};      // of "<0x00>" and so on, or of a byte's own token when words are raw bytes
  std::array<std::int32_t, 128> ascii_ids_{};     // of single characters without prefix or suffix
  IdsByText words_ = {};                          // by raw bytes, when merges are ignored for whole words
};

}  // namespace redoubt::engine::tokenizer
