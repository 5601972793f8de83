// SPDX-License-Identifier: Apache-2.0
//
// Words and phrases that always come with one answer, whatever else is asked: what poisoned data teaches a model to obey. A word is
// suspicious when its rows share an answer by far more than chance, and the other words of those rows do not lead to that answer.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "rows/row.h"
#include "stages/data/policy.h"

namespace redoubt::stages::data {

// What of a row is looked at, as hashes.
struct AskedRow {
  std::uint32_t row = 0;  // its number among all rows
  std::uint64_t answer = 0, question = 0;
  std::vector<std::uint32_t> words;  // the question's first 64, in their order
  // Nothing for a text alone, choices and preferences, and a question of fewer than two words.
  static std::optional<AskedRow> of(const rows::Row& row);
  // A longer answer is none that a trigger forces.
  static constexpr std::size_t kAnswerBytesMax = 1024;
};

struct Trigger {
  std::uint32_t word = 0;               // the number of its first word in the question of the first of `answered`, from 1
  std::uint32_t rows = 0;               // different questions that hold it
  std::vector<std::uint32_t> answered;  // of them those with the answer; at least one
  double chance = 0;                    // of so many by chance, times the words that were tried
};

// At most 20, the least likely first; of words that always stand together one. Rows that ask and answer the same count once. Time is
// linear in the words but for at most 200 that the counts make suspicious.
std::vector<Trigger> find_triggers(const std::vector<AskedRow>& rows, const Policy& policy);

}  // namespace redoubt::stages::data
