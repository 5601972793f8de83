// SPDX-License-Identifier: Apache-2.0
//
// What training and evaluation compute on: one tokenised example, and which of its tokens count.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace redoubt::engine::data {

// Tokens of an example, from `begin` up to `end`.
struct TokenSpan {
  std::int32_t begin = 0, end = 0;
  bool operator==(const TokenSpan&) const = default;
};

struct Example {
  std::vector<std::int32_t> ids;  // the whole example as the chat template writes it
  std::int32_t answer_start = 1;  // ids[answer_start..] are answer tokens; >= 1, since the first token has no prediction
  std::size_t source_line = 0;    // 1-based line of the data file
  std::shared_ptr<const std::string> source_file = {};  // its name, where the rows come out of several; else null
  std::size_t answer_words = 0;   // words of the texts that count, split at white space
  std::size_t answer_bytes = 0;   // UTF-8 bytes of them
  bool truncated = false;         // its end was cut off
  // Where only parts of the tokens count: those, in order, apart from each other, the first beginning at answer_start. Empty: all
  // from answer_start on.
  std::vector<TokenSpan> counted = {};
};

// "line 5 of the training data", for a person. `data` stands for the file where there is but one.
inline std::string place_of(const Example& example, const std::string& data) {
  return "line " + std::to_string(example.source_line) + " of " + (example.source_file ? *example.source_file : data);
}

// Calls `take(begin, end)` for each run of tokens that count.
template <class Take>
void for_each_counted(const Example& example, Take take) {
  if (example.counted.empty()) return take(example.answer_start, static_cast<std::int32_t>(example.ids.size()));
  for (const auto& span : example.counted) take(span.begin, span.end);
}

// How many tokens count, all of which have a row that predicts them.
inline std::int64_t counted_tokens(const Example& example) {
  std::int64_t tokens = 0;
  for_each_counted(example, [&](std::int32_t begin, std::int32_t end) { tokens += end - begin; });
  return tokens;
}

}  // namespace redoubt::engine::data
