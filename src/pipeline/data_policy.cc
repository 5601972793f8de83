// SPDX-License-Identifier: Apache-2.0
#include "pipeline/data_policy.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "base/schema.h"
#include "crypto/hash.h"
#include "pipeline/schemas.h"
#include "rows/lines.h"

namespace redoubt::pipeline {
namespace {

using stages::data::Action;

constexpr std::uint64_t kListBytesMax = 4 << 20;
constexpr std::size_t kPhrasesMax = 100'000;

Result<std::vector<std::string>> read_phrases(const std::string& text, const std::string& file) {
  std::vector<std::string> phrases;
  std::size_t line_number = 0;
  for (std::size_t at = 0; at < text.size();) {
    const auto end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    at = end + 1;
    ++line_number;
    if (rows::first_invalid_utf8(line) != line.npos) return fail(ErrorCode::invalid_argument, "not UTF-8", fmt::format("{}:{}", file, line_number), "save the list as UTF-8");
    if (line.starts_with('#')) continue;
    const auto first = line.find_first_not_of(" \t\r"), last = line.find_last_not_of(" \t\r");
    if (first != line.npos) phrases.push_back(line.substr(first, last - first + 1));
  }
  if (phrases.empty()) return fail(ErrorCode::invalid_argument, "the word list holds no word", file, "write a word or phrase on each line");
  if (phrases.size() > kPhrasesMax) return fail(ErrorCode::limit_exceeded, fmt::format("the word list has {} words, at most {} are taken", phrases.size(), kPhrasesMax), file);
  return phrases;
}

Result<stages::data::WordList> read_list(const Json& entry, const std::filesystem::path& policy, const std::string& where) {
  stages::data::WordList list;
  const auto file = (policy.parent_path() / entry.at("file").get<std::string>()).lexically_normal();
  list.kind = entry.at("kind").get<std::string>();
  if (list.kind != "WORD_LIST" && stages::data::find_kind(list.kind) != nullptr)
    return fail(ErrorCode::invalid_argument, fmt::format("word_lists: '{}' is the name of another kind", list.kind), where, "give the list a name of its own, TOXICITY say");
  list.action = *stages::data::action_of_word(entry.at("action").get<std::string>());
  const auto text = read_text_file(file, kListBytesMax);
  if (!text) return fail(ErrorCode::invalid_argument, "word_lists: " + text.error().message, file.string(), "named in " + where);
  list.phrases = TRY(read_phrases(*text, file.string()));
  list.digest = crypto::sha256(*text).tagged();
  return list;
}

void read_actions(const Json& json, stages::data::Policy& policy) {
  for (const auto& [group, action] : json.at("groups").items()) {
    for (const auto& kind : stages::data::all_kinds()) {
      if (group == stages::data::to_string(kind.group) && std::string_view(kind.name) != "URL") policy.actions[kind.name] = *stages::data::action_of_word(action.get<std::string>());
    }
  }
  for (const auto& [kind, action] : json.at("kinds").items()) policy.actions[kind] = *stages::data::action_of_word(action.get<std::string>());
}

}  // namespace

Result<stages::data::Policy> load_data_policy(const std::filesystem::path& file) {
  const auto document = TRY(load_yaml(file));
  const Json json = TRY(check_against_schema(document, Json::parse(kDataPolicySchema)));
  stages::data::Policy policy;
  read_actions(json, policy);
  policy.row_bytes_max = json.at("row_bytes_max").get<std::uint64_t>();
  policy.languages = json.at("languages").at("expected").get<std::vector<std::string>>();
  policy.letters_min = json.at("languages").at("letters_min").get<std::uint64_t>();
  policy.near_threshold = json.at("near_duplicates").at("threshold").get<double>();
  policy.near_seed = json.at("near_duplicates").at("seed").get<std::uint32_t>();
  policy.shingle_bytes = json.at("near_duplicates").at("shingle_bytes").get<std::size_t>();
  policy.ngram_words = json.at("leakage").at("ngram_words").get<std::size_t>();
  policy.ngram_rows_max = json.at("leakage").at("ngram_rows_max").get<std::size_t>();
  policy.trigger_rows_min = json.at("triggers").at("rows_min").get<std::size_t>();
  policy.trigger_share_min = json.at("triggers").at("share_min").get<double>();
  const Json& lists = json.at("word_lists");
  for (std::size_t i = 0; i < lists.size(); ++i) policy.word_lists.push_back(TRY(read_list(lists[i], file, document.locate(fmt::format("/word_lists/{}", i)))));
  // What is done is said of a kind: of two words for one, one would count for nothing.
  for (std::size_t i = 0; i < lists.size(); ++i) {
    const auto& list = policy.word_lists[i];
    if (std::none_of(policy.word_lists.begin(), policy.word_lists.end(), [&](const auto& other) { return other.kind == list.kind && other.action != list.action; })) continue;
    return fail(ErrorCode::invalid_argument, fmt::format("word_lists: {} has another action already", list.kind), document.locate(fmt::format("/word_lists/{}", i)), "give each list a kind of its own: kind: TOXICITY");
  }
  return policy;
}

}  // namespace redoubt::pipeline
