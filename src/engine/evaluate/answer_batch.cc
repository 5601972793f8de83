// SPDX-License-Identifier: Apache-2.0
#include "engine/evaluate/answer_batch.h"

#include "base/check.h"

namespace redoubt::engine::evaluate {
namespace {

// What is laid down of examples, and how.
struct Plan {
  std::vector<model::Tokens> ids;
  std::vector<model::Stem> stems;
};

Plan plan_of(std::span<const data::Example* const> examples, Sharing sharing) {
  Plan plan;
  std::vector<std::int64_t> shared_max;  // the row that predicts the first answer token is each example's own
  for (const auto* example : examples) {
    CHECK(example->answer_start >= 1 && answer_tokens(*example) > 0);
    plan.ids.push_back(std::span(example->ids).first(example->ids.size() - 1));
    shared_max.push_back(example->answer_start - 1);
  }
  plan.stems = sharing == Sharing::shared ? model::find_stems(plan.ids, shared_max) : model::no_stems(plan.ids.size());
  return plan;
}

}  // namespace

std::int64_t packed_rows(std::span<const data::Example* const> examples, Sharing sharing) {
  const auto [ids, stems] = plan_of(examples, sharing);
  return model::packed_rows(ids, stems);
}

AnswerBatch pack_answers(std::span<const data::Example* const> examples, Sharing sharing) {
  c10::InferenceMode guard;
  const auto [ids, stems] = plan_of(examples, sharing);
  AnswerBatch batch;
  batch.packed = model::pack(ids, stems);
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
