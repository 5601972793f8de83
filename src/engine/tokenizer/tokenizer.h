// SPDX-License-Identifier: Apache-2.0
//
// Text to token ids and back, from a Hugging Face tokenizer.json: byte-level BPE as GPT-2, Llama 3 and SmolLM2 use it, with the
// ids of the `tokenizers` package on every input. A normalizer, model, pre-tokenizer, post-processor or decoder that is not
// computed exactly is unsupported by its name.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/tokenizer/added_tokens.h"
#include "engine/tokenizer/bpe.h"
#include "engine/tokenizer/pre_tokenizer.h"

namespace redoubt::engine::tokenizer {

inline constexpr std::size_t kTextBytesMax = 16 << 20;

// Whether the tokens that the post-processor puts around a text (Llama 3's <|begin_of_text|>) are added. A rendered chat
// template holds them already.
enum class SpecialTokens { add, leave_out };
enum class OnDecode { keep_special_tokens, skip_special_tokens };

// Immutable and safe from several threads.
class Tokenizer {
 public:
  // Reads tokenizer.json of a model folder.
  static Result<std::unique_ptr<Tokenizer>> load(const std::filesystem::path& model_folder);
  static Result<std::unique_ptr<Tokenizer>> parse(std::string_view json, const std::string& where);

  // Text that is not UTF-8 is invalid_argument, more than kTextBytesMax is limit_exceeded.
  Result<std::vector<std::int32_t>> encode(std::string_view text, SpecialTokens special = SpecialTokens::add) const;

  // Valid UTF-8, with U+FFFD where the tokens' bytes are not. An id outside the vocabulary is invalid_argument.
  Result<std::string> decode(std::span<const std::int32_t> ids, OnDecode special = OnDecode::skip_special_tokens) const;

  // The bytes of one token; empty for an id that has none. Joined bytes are what decode makes text of.
  std::string_view token_bytes(std::int32_t id) const;
  bool is_special(std::int32_t id) const;
  // The id of an added token or of a vocabulary entry as written in the file.
  std::optional<std::int32_t> id_of(std::string_view token) const;
  // One more than the greatest id.
  std::int32_t vocabulary_size() const { return static_cast<std::int32_t>(bytes_.size()); }

 private:
  Tokenizer(Bpe bpe, AddedTokens added, PreTokenizer pre_tokenizer)
      : bpe_(std::move(bpe)), added_(std::move(added)), pre_tokenizer_(std::move(pre_tokenizer)) {}
  Status index_tokens(const std::string& where);
  Status read_post_processor(const Json& step, const std::string& where);
  Status read_template(const Json& step, const std::string& where);

  Bpe bpe_;
  AddedTokens added_;
  PreTokenizer pre_tokenizer_;
  std::vector<std::string> bytes_;  // by id
  std::vector<bool> special_;
  std::unordered_map<std::string, std::int32_t> ids_;
  std::vector<std::int32_t> before_, after_;  // what the post-processor puts around a text
};

}  // namespace redoubt::engine::tokenizer
