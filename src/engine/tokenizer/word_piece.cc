// SPDX-License-Identifier: Apache-2.0
#include "engine/tokenizer/word_piece.h"

namespace redoubt::engine::tokenizer {

Result<std::unique_ptr<Model>> WordPiece::parse(const Json& model, const std::string& type, const std::string& where) {
  const auto field = where + ": model";
  auto made = std::make_unique<WordPiece>();
  made->vocabulary_ = TRY(Vocabulary::parse(model, where));
  made->unknown_ = TRY(json_string(model, "unk_token", field));
  made->whole_words_ = type == "WordLevel";
  if (made->whole_words_) return std::unique_ptr<Model>(std::move(made));
  const auto prefix = TRY(json_string(model, "continuing_subword_prefix", field));
  const auto most = TRY(json_integer(model, "max_input_chars_per_word", field));
  if (most < 0) return fail(ErrorCode::invalid_argument, "max_input_chars_per_word is below 0", field);
  made->characters_max_ = static_cast<std::size_t>(most);
  for (std::int32_t id = 0; id < made->size(); ++id) {
    const auto text = made->token(id);
    if (text.empty()) continue;
    made->begins_.insert(text, id);
    if (text.starts_with(prefix)) made->goes_on_.insert(text.substr(prefix.size()), id);
  }
  return std::unique_ptr<Model>(std::move(made));
}

Status WordPiece::encode(std::string_view word, Ids& ids) const {
  if (whole_words_) {
    const auto id = vocabulary_.find(word);
    if (!id) return add_unknown(ids);
    ids.push_back(*id);
    return {};
  }
  std::size_t characters = 0;
  for (const char c : word) characters += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  if (characters > characters_max_) return add_unknown(ids);
  const auto before = ids.size();
  if (cut(word, ids)) return {};
  ids.resize(before);
  return add_unknown(ids);
}

bool WordPiece::cut(std::string_view word, Ids& ids) const {
  for (std::size_t at = 0; at < word.size();) {
    const auto [size, id] = (at == 0 ? begins_ : goes_on_).longest(word.substr(at));
    if (size == 0) return false;
    ids.push_back(id);
    at += size;
  }
  return true;
}

Status WordPiece::add_unknown(Ids& ids) const {
  const auto id = vocabulary_.find(unknown_);
  if (!id) return fail(ErrorCode::invalid_argument, "the text needs the unknown token '" + unknown_ + "', which the vocabulary lacks");
  ids.push_back(*id);
  return {};
}

}  // namespace redoubt::engine::tokenizer
