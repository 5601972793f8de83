// SPDX-License-Identifier: Apache-2.0
//
// Text to token ids and back, from a Hugging Face tokenizer.json (docs/tokenizers.md), with the ids and texts of the `tokenizers`
// package on every input. What is not computed exactly is unsupported by its name.
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
#include "engine/tokenizer/decoder.h"
#include "engine/tokenizer/model.h"
#include "engine/tokenizer/normalizer.h"
#include "engine/tokenizer/post_processor.h"
#include "engine/tokenizer/pre_tokenizer.h"

namespace redoubt::engine::tokenizer {

inline constexpr std::size_t kTextBytesMax = 16 << 20;

// Whether the tokens that the post-processor puts around a text (Llama 3's <|begin_of_text|>) are added. A rendered chat
// template holds them already.
enum class SpecialTokens { add, leave_out };
enum class OnDecode { keep_special_tokens, skip_special_tokens };

class TokenStream;

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

  // Decodes ids as they come. The tokenizer must outlive it.
  TokenStream stream(OnDecode special = OnDecode::skip_special_tokens) const;

  // The bytes that a token writes in the middle of a text, not always UTF-8; empty for an id that has none. A text's first token
  // may write less, and a decoder may change what tokens write together: only `decode` and `stream` give the text itself.
  std::string_view token_bytes(std::int32_t id) const;
  bool is_special(std::int32_t id) const;
  // The bytes that a token writes as the first one of a text; nothing where that depends on the next one.
  std::optional<std::string> bytes_at_start(std::int32_t id) const;
  bool start_differs() const { return decoder_.start_differs(); }  // whether they are others than `token_bytes` for any
  // Whether a text is what its tokens write one after the other; where not, only `decode` and `stream` tell it.
  bool writes_by_token() const { return decoder_.by_token(); }
  // "<0x41>" of byte fallback.
  bool is_byte(std::int32_t id) const;
  // Bytes that tokens of single bytes do not write together, since the decoder makes something else of them; often none.
  const std::string& not_from_bytes() const { return decoder_.not_from_bytes(); }
  // The id of an added token or of a vocabulary entry as written in the file.
  std::optional<std::int32_t> id_of(std::string_view token) const;
  // One more than the greatest id.
  std::int32_t vocabulary_size() const { return static_cast<std::int32_t>(tokens_.size()); }
  // The most bytes of text that one token can stand for; nothing when text can go missing on its way to the tokens.
  std::optional<std::size_t> text_bytes_per_token_max() const { return text_bytes_per_token_max_; }

 private:
  friend class TokenStream;
  struct Token {
    std::string written = {};  // what a decoder gets; empty for an id that the vocabulary skips
    std::string bytes = {};
    bool special = false;
  };
  Tokenizer() = default;
  void index_tokens();
  Status encode_stretch(const Piece& piece, Arena& arena, Ids& ids) const;
  Status encode_words(const Piece& piece, Arena& arena, Ids& ids) const;
  Status encode_word(std::string_view word, Ids& ids) const;

  std::unique_ptr<Model> model_;
  AddedTokens added_;
  Normalizer normalizer_;
  PreTokenizer pre_tokenizer_;
  PostProcessor post_processor_;
  Decoder decoder_;
  std::vector<Token> tokens_;  // by id
  std::unordered_map<std::string, std::int32_t> added_ids_;
  std::optional<std::size_t> text_bytes_per_token_max_ = {};
  std::uint64_t number_ = 0;  // of this tokenizer, for the words that threads remember
};

// The text of ids as they come: all that was pushed and finished together is what `decode` makes of them.
class TokenStream {
 public:
  TokenStream(const Tokenizer& tokenizer, OnDecode special) : tokenizer_(&tokenizer), special_(special), stream_(tokenizer.decoder_) {}

  // What is sure after this id; valid UTF-8. An id outside the vocabulary writes nothing.
  std::string push(std::int32_t id);
  // What was held back.
  std::string finish() { return stream_.finish(); }

 private:
  const Tokenizer* tokenizer_;
  OnDecode special_;
  DecoderStream stream_;
};

}  // namespace redoubt::engine::tokenizer
