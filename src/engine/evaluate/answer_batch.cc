// SPDX-License-Identifier: Apache-2.0
#include "engine/evaluate/answer_batch.h"

#include <algorithm>

namespace redoubt::engine::evaluate {

AnswerBatch pack_answers(std::span<const data::Example* const> examples) {
  c10::InferenceMode guard;
  AnswerBatch batch;
  std::vector<std::span<const std::int32_t>> ids;
  std::vector<std::int64_t> rows, targets;
  std::int64_t begin = 0;
  for (const auto* example : examples) {
    ids.emplace_back(example->ids);
    for (std::int64_t i = example->answer_start; i < std::ssize(example->ids); ++i) {
      rows.push_back(begin + i - 1);
      targets.push_back(example->ids[static_cast<std::size_t>(i)]);
    }
    begin += std::ssize(example->ids);
    batch.answers.push_back(answer_tokens(*example));
  }
  batch.packed = model::pack(ids);
  batch.rows = at::tensor(rows, at::kLong);
  batch.targets = at::tensor(targets, at::kLong);
  return batch;
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
