// SPDX-License-Identifier: Apache-2.0
#include "engine/evaluate/answer_batch.h"

#include "base/check.h"

namespace redoubt::engine::evaluate {

AnswerBatch pack_answers(std::span<const data::Example* const> examples, Sharing sharing) {
  c10::InferenceMode guard;
  AnswerBatch batch;
  std::vector<model::Tokens> ids;
  std::vector<std::int64_t> shared_max;  // the row that predicts the first answer token is each example's own
  for (const auto* example : examples) {
    CHECK(example->answer_start >= 1 && answer_tokens(*example) > 0);
    ids.push_back(std::span(example->ids).first(example->ids.size() - 1));
    shared_max.push_back(example->answer_start - 1);
  }
  batch.packed = sharing == Sharing::shared ? model::pack(ids, model::find_stems(ids, shared_max)) : model::pack(ids);
  std::vector<std::int64_t> rows, targets;
  for (std::size_t e = 0; e < examples.size(); ++e) {
    data::for_each_counted(*examples[e], [&](std::int32_t first, std::int32_t end) {
      for (std::int64_t i = first; i < end; ++i) {
        rows.push_back(batch.packed.row(e, i - 1));
        targets.push_back(examples[e]->ids[static_cast<std::size_t>(i)]);
      }
    });
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

}  // namespace redoubt::engine::evaluate
