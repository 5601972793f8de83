// SPDX-License-Identifier: Apache-2.0
#include "stages/acquire/gguf_tokenizer.h"

#include <unordered_map>

namespace redoubt::stages::acquire {
namespace {

using weights::GgufHeader;
using Ids = std::unordered_map<std::string_view, std::size_t>;

constexpr std::int64_t kControl = 3, kUserDefined = 4;

// Llama 3's own expression, as its tokenizer.json has it.
constexpr const char* kLlama3Words =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

tl::unexpected<Error> bad(std::string message, const GgufHeader& header, const char* key) {
  return fail(ErrorCode::invalid_argument, std::move(message), header.where() + ": '" + key + "'");
}

Json byte_level(bool add_prefix_space, bool use_regex) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", add_prefix_space}, {"trim_offsets", true}, {"use_regex", use_regex}};
}

// How a text is cut into words. The vocabulary does not say; ggml keeps a name for it.
Result<Json> pre_tokenizer(const GgufHeader& header, const std::string& rule) {
  if (rule == "smollm")
    return Json{{"type", "Sequence"},
                {"pretokenizers", {Json{{"type", "Digits"}, {"individual_digits", true}}, byte_level(false, true)}}};
  if (rule == "llama-bpe")
    return Json{
        {"type", "Sequence"},
        {"pretokenizers",
         {Json{{"type", "Split"}, {"pattern", {{"Regex", kLlama3Words}}}, {"behavior", "Isolated"}, {"invert", false}},
          byte_level(false, false)}}};
  if (rule == "gpt-2" || rule == "default") return byte_level(false, true);
  return fail(ErrorCode::unsupported, "the pre-tokenizer '" + rule + "' is not imported",
              header.where() + ": 'tokenizer.ggml.pre'", "smollm, llama-bpe, gpt-2 and default are");
}

Result<Ids> index_tokens(const GgufHeader& header, const std::vector<std::string>& tokens) {
  Ids ids;
  for (std::size_t id = 0; id < tokens.size(); ++id)
    if (tokens[id].empty() || !ids.emplace(tokens[id], id).second)
      return bad("token " + std::to_string(id) + " is empty or stands twice", header, "tokenizer.ggml.tokens");
  return ids;
}

// Pairs as "left right"; both sides and what they make must be tokens, or the file is not what its tokenizer was.
Result<Json> merges_of(const GgufHeader& header, const Ids& ids) {
  constexpr const char* key = "tokenizer.ggml.merges";
  Json merges = Json::array();
  for (const auto& merge : *TRY(header.texts(key))) {
    const auto space = merge.find(' ');
    const bool pair = space != std::string::npos && merge.find(' ', space + 1) == std::string::npos;
    const auto left = merge.substr(0, space), right = pair ? merge.substr(space + 1) : std::string();
    if (!pair || !ids.contains(left) || !ids.contains(right) || !ids.contains(left + right))
      return bad("merge " + std::to_string(merges.size()) + " is no pair of tokens that make a token", header, key);
    merges.push_back(Json::array({left, right}));
  }
  return merges;
}

Result<Json> added_tokens(const GgufHeader& header, const std::vector<std::string>& tokens) {
  constexpr const char* key = "tokenizer.ggml.token_type";
  const auto& types = *TRY(header.integers(key));
  if (types.size() != tokens.size()) return bad("there are not as many token types as tokens", header, key);
  Json added = Json::array();
  for (std::size_t id = 0; id < tokens.size(); ++id)
    if (types[id] == kControl || types[id] == kUserDefined)
      added.push_back({{"id", id},
                       {"content", tokens[id]},
                       {"single_word", false},
                       {"lstrip", false},
                       {"rstrip", false},
                       {"normalized", false},
                       {"special", types[id] == kControl}});
  return added;
}

Result<bool> flag_or(const GgufHeader& header, const char* key, bool fallback) {
  return header.has(key) ? header.boolean(key) : Result<bool>(fallback);
}

// "bos_token" and its like by their text; only those that the file names.
Result<Json> named_tokens(const GgufHeader& header, const std::vector<std::string>& tokens) {
  constexpr std::pair<const char*, const char*> names[] = {{"bos_token", "tokenizer.ggml.bos_token_id"},
                                                           {"eos_token", "tokenizer.ggml.eos_token_id"},
                                                           {"unk_token", "tokenizer.ggml.unknown_token_id"},
                                                           {"pad_token", "tokenizer.ggml.padding_token_id"}};
  Json named = Json::object();
  for (const auto& [name, key] : names) {
    if (!header.has(key)) continue;
    const auto id = TRY(header.unsigned_number(key));
    if (id >= tokens.size()) return bad("the id is not in the vocabulary", header, key);
    named[name] = tokens[id];
  }
  return named;
}

// What stands before and after each text. Without a word from the file, ggml puts a start token before texts of Llama 3
// only.
Result<Json> post_processor(const GgufHeader& header, const std::string& rule, const Json& named, const Ids& ids) {
  Json single = Json::array(), pair = Json::array(), special = Json::object();
  const auto add = [&](const char* name, Json& list) {
    const auto text = named.at(name).get<std::string>();
    list.push_back({{"SpecialToken", {{"id", text}, {"type_id", 0}}}});
    special[text] = {{"id", text}, {"ids", {ids.at(text)}}, {"tokens", {text}}};
  };
  const bool start = TRY(flag_or(header, "tokenizer.ggml.add_bos_token", rule == "llama-bpe"));
  const bool end = TRY(flag_or(header, "tokenizer.ggml.add_eos_token", false));
  if ((start && !named.contains("bos_token")) || (end && !named.contains("eos_token")))
    return bad("texts are to get a token that the file does not name", header, "tokenizer.ggml.add_bos_token");
  if (!start && !end) return Json();
  for (const char* sequence : {"A", "B"}) {
    Json part = Json::array();
    if (start) add("bos_token", part);
    part.push_back({{"Sequence", {{"id", sequence}, {"type_id", sequence[0] == 'A' ? 0 : 1}}}});
    if (end) add("eos_token", part);
    for (const auto& piece : part) pair.push_back(piece);
    if (sequence[0] == 'A') single = part;
  }
  return Json{{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", special}};
}

}  // namespace

Result<TokenizerFiles> make_tokenizer(const GgufHeader& header) {
  const auto kind = TRY(header.text("tokenizer.ggml.model"));
  if (kind != "gpt2")
    return fail(ErrorCode::unsupported, "the tokenizer '" + kind + "' is not imported",
                header.where() + ": 'tokenizer.ggml.model'", "only byte-level BPE (gpt2) is");
  const std::string rule = header.has("tokenizer.ggml.pre") ? TRY(header.text("tokenizer.ggml.pre")) : "default";
  const auto& tokens = *TRY(header.texts("tokenizer.ggml.tokens"));
  const auto ids = TRY(index_tokens(header, tokens));
  Json vocabulary = Json::object();
  for (const auto& [token, id] : ids) vocabulary[std::string(token)] = id;

  // Llama 3 takes a word that is a token whole, even where no chain of merges leads to it.
  Json model{{"type", "BPE"},
             {"dropout", nullptr},
             {"unk_token", nullptr},
             {"continuing_subword_prefix", nullptr},
             {"end_of_word_suffix", nullptr},
             {"fuse_unk", false},
             {"byte_fallback", false},
             {"ignore_merges", rule == "llama-bpe"},
             {"vocab", std::move(vocabulary)}};
  model["merges"] = TRY(merges_of(header, ids));
  Json tokenizer{{"version", "1.0"},
                 {"truncation", nullptr},
                 {"padding", nullptr},
                 {"normalizer", nullptr},
                 {"decoder", byte_level(true, true)},
                 {"model", std::move(model)}};
  tokenizer["added_tokens"] = TRY(added_tokens(header, tokens));
  tokenizer["pre_tokenizer"] = TRY(pre_tokenizer(header, rule));

  TokenizerFiles files{.tokenizer = {}, .config = {}, .special_tokens = TRY(named_tokens(header, tokens))};
  tokenizer["post_processor"] = TRY(post_processor(header, rule, files.special_tokens, ids));
  files.tokenizer = dump_json(tokenizer);
  files.config = files.special_tokens;
  files.config["tokenizer_class"] = "PreTrainedTokenizerFast";
  files.config["model_max_length"] = TRY(header.unsigned_number("llama.context_length"));
  files.config["clean_up_tokenization_spaces"] = false;
  if (header.has("tokenizer.chat_template")) files.config["chat_template"] = TRY(header.text("tokenizer.chat_template"));
  return files;
}

}  // namespace redoubt::stages::acquire
