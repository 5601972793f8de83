// SPDX-License-Identifier: Apache-2.0
#include "engine/tokenizer/tokenizer.h"

#include <algorithm>
#include <atomic>

#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "engine/tokenizer/word_cache.h"

namespace redoubt::engine::tokenizer {
namespace {

constexpr std::size_t kFileBytesMax = 128 << 20;

Json member(const Json& object, const char* key) { return object.contains(key) ? object[key] : Json(); }

std::uint64_t next_number() {
  static std::atomic<std::uint64_t> last{0};
  return ++last;
}

// Room to work in, kept from text to text.
struct EncodeRoom {
  std::vector<Stretch> stretches;
  Pieces words, spare;
  WordCache cache;
};
thread_local EncodeRoom encode_room;

}  // namespace

Result<std::unique_ptr<Tokenizer>> Tokenizer::load(const std::filesystem::path& model_folder) {
  const auto path = model_folder / "tokenizer.json";
  return parse(TRY(read_text_file(path, kFileBytesMax)), path.string());
}

// "truncation" and "padding" are not read: Transformers sets both anew for every call, to none unless it is told otherwise.
Result<std::unique_ptr<Tokenizer>> Tokenizer::parse(std::string_view json, const std::string& where) {
  const auto file = TRY(parse_json(json, where, {.bytes_max = kFileBytesMax}));
  if (!file.is_object()) return fail(ErrorCode::invalid_argument, "a tokenizer is a JSON object", where);
  std::unique_ptr<Tokenizer> made(new Tokenizer());
  made->number_ = next_number();
  made->model_ = TRY(parse_model(TRY(json_object(file, "model", where)), where));
  made->normalizer_ = TRY(Normalizer::parse(member(file, "normalizer"), where + ": normalizer"));
  made->added_ = TRY(AddedTokens::parse(member(file, "added_tokens"), *made->model_, made->normalizer_, where));
  made->pre_tokenizer_ = TRY(PreTokenizer::parse(member(file, "pre_tokenizer"), where + ": pre_tokenizer"));
  made->decoder_ = TRY(Decoder::parse(member(file, "decoder"), where + ": decoder"));
  if (made->pre_tokenizer_.ends_in_bytes() && made->model_->read_bytes()) made->pre_tokenizer_.leave_bytes();
  made->index_tokens();
  made->post_processor_ = TRY(PostProcessor::parse(member(file, "post_processor"), made->vocabulary_size(), where + ": post_processor"));
  return made;
}

void Tokenizer::index_tokens() {
  tokens_.resize(static_cast<std::size_t>(model_->size()));
  for (std::size_t id = 0; id < tokens_.size(); ++id) tokens_[id].written = model_->token(static_cast<std::int32_t>(id));
  for (const auto& token : added_.all()) {
    const auto id = static_cast<std::size_t>(token.id);
    if (id >= tokens_.size()) tokens_.resize(id + 1);
    tokens_[id].written = token.written;
    added_ids_.insert_or_assign(token.content, token.id);
  }
  std::size_t longest = 1;
  for (auto& token : tokens_) {
    token.special = added_.is_special(token.written);
    token.bytes = token.written.empty() ? std::string() : decoder_.bytes_in_text(token.written);
    longest = std::max({longest, token.bytes.size(), token.written.size()});
  }
  const bool keeps_all = model_->keeps_all() && !normalizer_.shortens() && !pre_tokenizer_.removes() && !added_.strips();
  if (keeps_all) text_bytes_per_token_max_ = longest;
}

Result<std::vector<std::int32_t>> Tokenizer::encode(std::string_view text, SpecialTokens special) const {
  if (text.size() > kTextBytesMax) return fail(ErrorCode::limit_exceeded, "a text to tokenise is longer than 16 MiB");
  if (const auto at = find_invalid_utf8(text); at != std::string_view::npos)
    return fail(ErrorCode::invalid_argument, "the text is not UTF-8 at byte " + std::to_string(at));
  encode_room.cache.belong_to(number_);
  Arena arena;
  Ids ids;
  std::vector<Stretch> stretches;
  added_.split_raw({text, text.empty() ? 0 : utf8_step(text).size}, stretches);
  for (const auto& stretch : stretches) {
    if (stretch.id >= 0) ids.push_back(stretch.id);
    else TRY(encode_stretch(stretch.piece, arena, ids));
  }
  if (special == SpecialTokens::add) post_processor_.run(ids);
  return ids;
}

Status Tokenizer::encode_stretch(const Piece& piece, Arena& arena, Ids& ids) const {
  auto& stretches = encode_room.stretches;
  stretches.clear();
  added_.split_normalized(TRY(normalizer_.run(piece, arena)), stretches);
  for (const auto& stretch : stretches) {
    if (stretch.id >= 0) ids.push_back(stretch.id);
    else TRY(encode_words(stretch.piece, arena, ids));
  }
  return {};
}

Status Tokenizer::encode_words(const Piece& piece, Arena& arena, Ids& ids) const {
  TRY(pre_tokenizer_.run(piece, arena, encode_room.words, encode_room.spare));
  for (const auto& word : encode_room.words) TRY(encode_word(word.text, ids));
  return {};
}

Status Tokenizer::encode_word(std::string_view word, Ids& ids) const {
  if (word.size() > WordCache::kWordBytesMax) return model_->encode(word, ids);
  if (const auto known = encode_room.cache.find(word); !known.empty()) {
    ids.insert(ids.end(), known.begin(), known.end());
    return {};
  }
  const auto before = ids.size();
  TRY(model_->encode(word, ids));
  encode_room.cache.put(word, std::span(ids).subspan(before));
  return {};
}

Result<std::string> Tokenizer::decode(std::span<const std::int32_t> ids, OnDecode special) const {
  auto decoded = stream(special);
  std::string text;
  for (const auto id : ids) {
    if (id < 0 || id >= vocabulary_size())
      return fail(ErrorCode::invalid_argument, "the id " + std::to_string(id) + " is not in the vocabulary");
    text += decoded.push(id);
  }
  return text + decoded.finish();
}

TokenStream Tokenizer::stream(OnDecode special) const { return {*this, special}; }

std::string TokenStream::push(std::int32_t id) {
  if (id < 0 || id >= tokenizer_->vocabulary_size()) return {};
  const auto& token = tokenizer_->tokens_[static_cast<std::size_t>(id)];
  const bool skipped = token.special && special_ == OnDecode::skip_special_tokens;
  return skipped || token.written.empty() ? std::string() : stream_.push(token.written);
}

std::string_view Tokenizer::token_bytes(std::int32_t id) const {
  return id >= 0 && id < vocabulary_size() ? std::string_view(tokens_[static_cast<std::size_t>(id)].bytes) : std::string_view();
}

std::optional<std::string> Tokenizer::bytes_at_start(std::int32_t id) const {
  if (id < 0 || id >= vocabulary_size()) return std::string();
  const auto& written = tokens_[static_cast<std::size_t>(id)].written;
  return written.empty() ? std::string() : decoder_.bytes_at_start(written);
}

bool Tokenizer::is_byte(std::int32_t id) const {
  if (id < 0 || id >= vocabulary_size()) return false;
  const auto& [written, bytes, special] = tokens_[static_cast<std::size_t>(id)];
  return bytes.size() == 1 && written.size() == 6 && written.starts_with("<0x");
}

bool Tokenizer::is_special(std::int32_t id) const { return id >= 0 && id < vocabulary_size() && tokens_[static_cast<std::size_t>(id)].special; }

std::optional<std::int32_t> Tokenizer::id_of(std::string_view token) const {
  const auto found = added_ids_.find(std::string(token));
  return found == added_ids_.end() ? model_->id_of(token) : std::optional(found->second);
}

}  // namespace redoubt::engine::tokenizer
