// SPDX-License-Identifier: Apache-2.0
#include "stages/data/policy.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/schema.h"
#include "stages/data/minhash.h"

namespace redoubt::stages::data {

Action Policy::action_of(std::string_view kind) const {
  if (const auto named = actions.find(kind); named != actions.end()) return named->second;
  for (const auto& list : word_lists) {
    if (list.kind == kind) return list.action;
  }
  const Kind* known = find_kind(kind);
  return known == nullptr ? Action::stop : known->by_default;
}

bool Policy::redacts() const {
  const auto lists = std::any_of(word_lists.begin(), word_lists.end(), [](const WordList& list) { return list.action == Action::redact; });
  return lists || std::any_of(all_kinds().begin(), all_kinds().end(), [&](const Kind& kind) { return action_of(kind.name) == Action::redact; });
}

bool Policy::drops() const {
  const auto lists = std::any_of(word_lists.begin(), word_lists.end(), [](const WordList& list) { return list.action == Action::drop; });
  return lists || std::any_of(all_kinds().begin(), all_kinds().end(), [&](const Kind& kind) { return action_of(kind.name) == Action::drop; });
}

Status Policy::accept(const std::vector<std::string>& kinds) {
  for (const auto& name : kinds) {
    const bool listed = std::any_of(word_lists.begin(), word_lists.end(), [&](const WordList& list) { return list.kind == name; });
    if (!listed && find_kind(name) == nullptr) {
      const auto near = nearest_word(name, kind_names());
      return fail(ErrorCode::invalid_argument, fmt::format("'{}' is no kind of finding", name), "accept",
                  near.empty() ? fmt::format("known: {}", fmt::join(kind_names(), ", ")) : fmt::format("did you mean '{}'?", near));
    }
    if (action_of(name) == Action::stop) actions[name] = Action::warn;
  }
  return {};
}

Json Policy::to_json() const {
  Json named = Json::object(), lists = Json::array();
  for (const auto& [kind, action] : actions) named[kind] = to_string(action);
  for (const auto& list : word_lists) lists.push_back({{"kind", list.kind}, {"action", to_string(list.action)}, {"phrases", list.phrases.size()}, {"digest", list.digest}});
  return {{"actions", named},
          {"row_bytes_max", row_bytes_max},
          {"languages", {{"expected", languages}, {"letters_min", letters_min}}},
          {"near_duplicates",
           {{"scheme", kMinHashScheme}, {"seed", near_seed}, {"permutations", kPermutations}, {"shingle_bytes", shingle_bytes}, {"threshold", near_threshold}}},
          {"leakage", {{"ngram_words", ngram_words}, {"ngram_rows_max", ngram_rows_max}}},
          {"triggers", {{"rows_min", trigger_rows_min}, {"share_min", trigger_share_min}}},
          {"word_lists", lists}};
}

}  // namespace redoubt::stages::data
