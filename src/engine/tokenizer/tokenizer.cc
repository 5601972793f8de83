// SPDX-License-Identifier: Apache-2.0
#include "engine/tokenizer/tokenizer.h"

#include "base/file.h"
#include "engine/tokenizer/byte_level.h"
#include "engine/tokenizer/utf8.h"

namespace redoubt::engine::tokenizer {
namespace {

constexpr std::size_t kFileBytesMax = 128 << 20;

tl::unexpected<Error> refuse(std::string what, const std::string& where) {
  return fail(ErrorCode::unsupported, "the tokenizer " + std::move(what), where);
}

std::string type_name(const Json& part) {
  return part.is_object() && part.contains("type") && part["type"].is_string() ? part["type"].get<std::string>() : "of unknown type";
}

// The parts of the file that are either absent or would change the ids.
Status check_parts(const Json& file, const std::string& where) {
  for (const char* key : {"truncation", "padding"})
    if (file.contains(key) && !file[key].is_null())
      return refuse(std::string("sets ") + key, where + ": " + key);
  if (file.contains("normalizer") && !file["normalizer"].is_null())
    return refuse("has a normalizer (" + type_name(file["normalizer"]) + "), which is not supported", where + ": normalizer");
  const Json decoder = file.contains("decoder") ? file["decoder"] : Json();
  if (type_name(decoder) != "ByteLevel")
    return refuse("has a decoder " + type_name(decoder) + ", not ByteLevel", where + ": decoder");
  return {};
}

Json member(const Json& object, const char* key) { return object.contains(key) ? object[key] : Json(); }

}  // namespace

Result<std::unique_ptr<Tokenizer>> Tokenizer::load(const std::filesystem::path& model_folder) {
  const auto path = model_folder / "tokenizer.json";
  return parse(TRY(read_text_file(path, kFileBytesMax)), path.string());
}

Result<std::unique_ptr<Tokenizer>> Tokenizer::parse(std::string_view json, const std::string& where) {
  const auto file = TRY(parse_json(json, where, {.bytes_max = kFileBytesMax}));
  if (!file.is_object()) return fail(ErrorCode::invalid_argument, "a tokenizer is a JSON object", where);
  TRY(check_parts(file, where));
  auto bpe = TRY(Bpe::parse(TRY(json_object(file, "model", where)), where));
  auto added = TRY(AddedTokens::parse(member(file, "added_tokens"), where));
  auto pre_tokenizer = TRY(PreTokenizer::parse(member(file, "pre_tokenizer"), where + ": pre_tokenizer"));
  std::unique_ptr<Tokenizer> made(new Tokenizer(std::move(bpe), std::move(added), std::move(pre_tokenizer)));
  TRY(made->index_tokens(where));
  TRY(made->read_post_processor(member(file, "post_processor"), where + ": post_processor"));
  return made;
}

Status Tokenizer::index_tokens(const std::string& where) {
  const auto& tokens = bpe_.tokens();
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    bytes_.push_back(bytes_of_token(tokens[id]));
    if (!tokens[id].empty()) ids_.emplace(tokens[id], static_cast<std::int32_t>(id));
  }
  special_.resize(bytes_.size());
  for (const auto& token : added_.all()) {
    const auto id = static_cast<std::size_t>(token.id);
    if (id >= bytes_.size()) bytes_.resize(id + 1), special_.resize(id + 1);
    if (id < tokens.size() && !tokens[id].empty() && tokens[id] != token.content)
      return fail(ErrorCode::invalid_argument, "the added token '" + token.content + "' has the id of another token", where);
    bytes_[id] = bytes_of_token(token.content);
    special_[id] = special_[id] || token.special;
    ids_.insert_or_assign(token.content, token.id);
  }
  return {};
}

Status Tokenizer::read_post_processor(const Json& step, const std::string& where) {
  if (step.is_null()) return {};
  const auto type = type_name(step);
  if (type == "ByteLevel") return {};  // moves offsets only
  if (type == "TemplateProcessing") return read_template(step, where);
  if (type != "Sequence") return refuse("has a post-processor " + type + ", which is not supported", where);
  for (const auto& part : TRY(json_array(step, "processors", where))) {
    if (type_name(part) == "Sequence") return refuse("has post-processors inside post-processors", where);
    TRY(read_post_processor(part, where));
  }
  return {};
}

// {"single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}], "special_tokens": {"<s>": {"ids": [1]}}}
Status Tokenizer::read_template(const Json& step, const std::string& where) {
  const auto single = TRY(json_array(step, "single", where));
  const auto tokens = TRY(json_object(step, "special_tokens", where));
  bool seen_text = false;
  for (const auto& part : single) {
    if (part.is_object() && part.contains("Sequence") && !seen_text) {
      seen_text = true;
      continue;
    }
    const auto name = TRY(json_string(TRY(json_object(part, "SpecialToken", where)), "id", where));
    for (const auto& id : TRY(json_array(TRY(json_object(tokens, name.c_str(), where)), "ids", where))) {
      if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= bytes_.size())
        return fail(ErrorCode::invalid_argument, "the post-processor's token '" + name + "' has no id of the vocabulary", where);
      (seen_text ? after_ : before_).push_back(id.get<std::int32_t>());
    }
  }
  if (!seen_text) return fail(ErrorCode::invalid_argument, "the post-processor leaves the text out", where);
  return {};
}

Result<std::vector<std::int32_t>> Tokenizer::encode(std::string_view text, SpecialTokens special) const {
  if (text.size() > kTextBytesMax) return fail(ErrorCode::limit_exceeded, "a text to tokenise is longer than 16 MiB");
  if (const auto at = find_invalid_utf8(text); at != std::string_view::npos)
    return fail(ErrorCode::invalid_argument, "the text is not UTF-8 at byte " + std::to_string(at));
  std::vector<std::int32_t> ids;
  if (special == SpecialTokens::add) ids = before_;
  for (const auto& stretch : added_.split(text)) {
    if (stretch.id >= 0) {
      ids.push_back(stretch.id);
      continue;
    }
    for (const auto& word : TRY(pre_tokenizer_.split(stretch.text))) bpe_.encode(word, ids);
  }
  if (special == SpecialTokens::add) ids.insert(ids.end(), after_.begin(), after_.end());
  return ids;
}

Result<std::string> Tokenizer::decode(std::span<const std::int32_t> ids, OnDecode special) const {
  std::string bytes;
  for (const auto id : ids) {
    if (id < 0 || id >= vocabulary_size())
      return fail(ErrorCode::invalid_argument, "the id " + std::to_string(id) + " is not in the vocabulary");
    if (special == OnDecode::keep_special_tokens || !special_[id]) bytes += bytes_[id];
  }
  Utf8Stream stream;
  auto text = stream.push(bytes);
  return text + stream.finish();
}

std::string_view Tokenizer::token_bytes(std::int32_t id) const {
  return id >= 0 && id < vocabulary_size() ? std::string_view(bytes_[id]) : std::string_view();
}

bool Tokenizer::is_special(std::int32_t id) const { return id >= 0 && id < vocabulary_size() && special_[id]; }

std::optional<std::int32_t> Tokenizer::id_of(std::string_view token) const {
  const auto found = ids_.find(std::string(token));
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace redoubt::engine::tokenizer
