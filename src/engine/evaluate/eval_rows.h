// SPDX-License-Identifier: Apache-2.0
//
// An evaluation's rows and what is computed for them. A row with an answer is one example; a text is scored whole, in windows as
// lm-evaluation-harness' loglikelihood_rolling cuts them; multiple choice is an example for each choice, as its multiple_choice.
#pragma once

#include <filesystem>

#include "engine/data/example_store.h"
#include "engine/data/load_examples.h"
#include "engine/evaluate/evaluator.h"

namespace redoubt::engine::evaluate {

enum class RowKind : std::uint8_t { answer, rolling, choices };

// A row's pieces are the examples from `first` on.
struct EvalRow {
  std::uint64_t line = 0;
  std::uint64_t hash = 0;  // of its tokens, so that two evaluations can be told to be of the same rows
  std::uint32_t first = 0, pieces = 0;
  std::uint32_t right = 0;  // the piece that is the right choice
  RowKind kind = RowKind::answer;
  std::shared_ptr<const std::string> file = {};  // its name, where the rows come out of several; else null
};

struct ChoiceLengths {
  std::uint32_t characters = 0, bytes = 0;  // of the choice's own text
};

struct EvalData {
  data::Examples pieces;
  std::vector<EvalRow> rows;
  std::vector<ChoiceLengths> choices;  // of the pieces of rows with choices, in their order
};

struct EvalLoad {
  data::LoadOptions examples;         // windows is for training: a text is always cut in windows here
  std::optional<std::int32_t> prefix;  // stands before a text's first token: the beginning-of-sequence token, else the end token
};

// Errors as data::load_examples. A text or an empty question without a prefix is invalid_argument.
Result<EvalData> load_rows(const std::vector<std::filesystem::path>& files, const data::Encoder& encoder, const EvalLoad& options);

// Windows over `tokens`: each token is predicted once, from `prefix` before the first or from up to length - 1 tokens before it
// in the text. The first window begins with the prefix.
std::vector<data::Example> rolling_windows(std::span<const std::int32_t> tokens, std::int32_t prefix, std::int64_t length);

struct RowScore {
  ExampleScore score;  // of the answer, the whole text or the right choice
  bool is_choice = false, right = false, right_by_characters = false, right_by_bytes = false;
};
// `scores` are those of data.pieces.
std::vector<RowScore> fold(const EvalData& data, std::span<const ExampleScore> scores);

}  // namespace redoubt::engine::evaluate
