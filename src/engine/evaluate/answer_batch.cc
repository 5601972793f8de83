// SPDX-License-Identifier: Apache-2.0
#include "engine/evaluate/answer_batch.h"

#include <algorithm>

namespace redoubt::engine::evaluate {

AnswerBatch pack_answers(std::span<const data::Example* const> examples, Sharing sharing) {
  c10::InferenceMode guard;
  AnswerBatch batch;
  std::vector<model::Tokens> ids;
  std::vector<std::int64_t> shared_max;  // the row that predicts the first answer token is each example's own
  for (const auto* example : examples) {
    ids.emplace_back(example->ids);
    shared_max.push_back(example->answer_start - 1);
  }
  batch.packed = sharing == Sharing::shared ? model::pack(ids, model::find_families(ids, shared_max)) : model::pack(ids);
  std::vector<std::int64_t> rows, targets;
  for (std::size_t e = 0; e < examples.size(); ++e) {
    for (std::int64_t i = examples[e]->answer_start; i < std::ssize(ids[e]); ++i) {
      rows.push_back(batch.packed.row(e, i - 1));
      targets.push_back(ids[e][static_cast<std::size_t>(i)]);
    }
    batch.answers.push_back(answer_tokens(*examples[e]));
  }
  batch.rows = at::tensor(rows, at::kLong);
  batch.targets = at::tensor(targets, at::kLong);
  return batch;
}

Sharing sharing_of(std::span<const data::Example* const> examples, const model::CausalModel& base) {
  std::size_t longest = 0;
  for (const auto* example : examples) longest = std::max(longest, example->ids.size());
  return base.can_share_up_to(static_cast<std::int64_t>(longest)) ? Sharing::shared : Sharing::alone;
}

Status check_examples(std::span<const data::Example> examples, const model::Config& config, std::string_view where) {
  if (examples.empty()) return fail(ErrorCode::invalid_argument, "no examples", std::string(where));
  for (const auto& example : examples) {
    const std::string place = std::string(where) + ": line " + std::to_string(example.source_line);
    if (example.answer_start < 1 || answer_tokens(example) < 1)
      return fail(ErrorCode::invalid_argument, "the example has no answer to learn from", place);
    if (std::ssize(example.ids) > config.context_length)
      return fail(ErrorCode::limit_exceeded, "the example is longer than the model's context", place, "set max_length");
    if (std::any_of(example.ids.begin(), example.ids.end(), [&](auto id) { return id < 0 || id >= config.vocabulary; }))
      return fail(ErrorCode::invalid_argument, "the tokenizer's vocabulary does not match the model's", place);
  }
  return {};
}

}  // namespace redoubt::engine::evaluate
