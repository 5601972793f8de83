// SPDX-License-Identifier: Apache-2.0
//
// What is looked for in data, and what is done about each kind of finding. Read from a file by pipeline/data_policy.h.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "detectors/kinds.h"

namespace redoubt::stages::data {
using namespace detectors;

// Words and phrases of the user's.
struct WordList {
  std::string kind = "WORD_LIST";  // what findings are called
  Action action = Action::warn;
  std::vector<std::string> phrases;
  std::string digest;  // SHA-256 of the list, for records
};

struct Policy {
  std::map<std::string, Action, std::less<>> actions;  // of kinds whose action is not Kind::by_default
  std::uint64_t row_bytes_max = 1 << 20;               // a longer row is LONG_ROW
  // Languages that rows are expected in, as ISO 639-1 names them; empty: any. A row with fewer letters is never judged.
  std::vector<std::string> languages;
  std::uint64_t letters_min = 60;
  // MinHash: see minhash.h.
  double near_threshold = 0.8;
  std::uint32_t near_seed = 1;
  std::size_t shingle_bytes = 5;
  // Leakage: words in a row that must not stand in held-out rows; those that stand in more held-out rows than this are boilerplate.
  std::size_t ngram_words = 13;
  std::size_t ngram_rows_max = 10;
  // Triggers: different questions with the word, and the share of one answer among theirs.
  std::size_t trigger_rows_min = 8;
  double trigger_share_min = 0.95;
  std::vector<WordList> word_lists;

  Action action_of(std::string_view kind) const;
  bool redacts() const;  // any kind at all
  bool drops() const;
  // Kinds that are accepted are told and stop nothing; invalid_argument for a name that is no kind, with the nearest.
  Status accept(const std::vector<std::string>& kinds);
  // All of it, for records: word lists by digest alone.
  Json to_json() const;
};

}  // namespace redoubt::stages::data
