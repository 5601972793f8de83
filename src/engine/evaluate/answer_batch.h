// SPDX-License-Identifier: Apache-2.0
//
// Examples packed for one pass, and which rows predict which answer tokens. Training and evaluation both compute on it.
#pragma once

#include <span>
#include <vector>

#include "engine/data/examples.h"
#include "engine/model/causal_model.h"

namespace redoubt::engine::evaluate {

struct AnswerBatch {
  model::PackedBatch packed;          // each example but its last token, which predicts nothing
  at::Tensor rows;                    // int64: rows whose next token is an answer token, in order
  at::Tensor targets;                 // int64: those tokens
  std::vector<std::int64_t> answers;  // how many of them each example has
};
// Whether what examples begin with is computed once.
enum class Sharing { shared, alone };
// Each example must have at least one token that counts, and the model's vocabulary.
AnswerBatch pack_answers(std::span<const data::Example* const> examples, Sharing sharing);
// The rows of its pass.
std::int64_t packed_rows(std::span<const data::Example* const> examples, Sharing sharing);
// Shared, but where the model turns heads by the length of the whole example.
Sharing sharing_of(std::span<const data::Example* const> examples, const model::CausalModel& base);

// Tokens of the answer, all of which have a row that predicts them.
inline std::int64_t answer_tokens(const data::Example& example) { return data::counted_tokens(example); }

}  // namespace redoubt::engine::evaluate
