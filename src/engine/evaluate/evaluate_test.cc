// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "engine/evaluate/eval_rows.h"

namespace redoubt::engine::evaluate {
namespace {

data::Example example_of(std::vector<std::int32_t> ids, std::int32_t answer_start, std::vector<data::TokenSpan> counted = {}) {
  data::Example example;
  example.ids = std::move(ids);
  example.answer_start = answer_start;
  example.counted = std::move(counted);
  return example;
}

TEST(PackAnswers, rows_are_those_whose_next_token_is_an_answer_and_the_last_token_is_only_predicted) {
  const auto a = example_of({5, 6, 7, 8}, 2), b = example_of({9, 10, 11}, 1);
  const data::Example* both[] = {&a, &b};
  const auto batch = pack_answers(both, Sharing::alone);
  EXPECT_TRUE(batch.packed.tokens.equal(at::tensor({5, 6, 7, 9, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, at::kLong)));
  EXPECT_TRUE(batch.rows.equal(at::tensor({1, 2, 3, 4}, at::kLong)));
  EXPECT_TRUE(batch.targets.equal(at::tensor({7, 8, 10, 11}, at::kLong)));
}

TEST(PackAnswers, only_the_runs_that_count_have_rows) {
  const auto a = example_of({5, 6, 7, 8, 9, 10}, 1, {{1, 2}, {4, 6}});
  const data::Example* one[] = {&a};
  const auto batch = pack_answers(one, Sharing::alone);
  EXPECT_TRUE(batch.rows.equal(at::tensor({0, 3, 4}, at::kLong)));
  EXPECT_TRUE(batch.targets.equal(at::tensor({6, 9, 10}, at::kLong)));
  EXPECT_EQ(batch.answers, std::vector<std::int64_t>{3});
}

// lm_eval.utils: list(map(make_disjoint_window, get_rolling_token_windows(tokens, 99, 4, 1))), of lm-eval 0.4.13.
TEST(RollingWindows, are_those_of_lm_evaluation_harness) {
  struct Window {
    std::vector<std::int32_t> context, predicted;
    bool operator==(const Window&) const = default;
  };
  const auto windows = [](std::int32_t count) {
    std::vector<std::int32_t> tokens;
    for (std::int32_t i = 0; i < count; ++i) tokens.push_back(i);
    std::vector<Window> out;
    for (const auto& window : rolling_windows(tokens, 99, 4))
      out.push_back({{window.ids.begin(), window.ids.begin() + window.answer_start}, {window.ids.begin() + window.answer_start, window.ids.end()}});
    return out;
  };
  EXPECT_EQ(windows(0), (std::vector<Window>{}));
  EXPECT_EQ(windows(3), (std::vector<Window>{{{99}, {0, 1, 2}}}));
  EXPECT_EQ(windows(4), (std::vector<Window>{{{99}, {0, 1, 2, 3}}}));
  EXPECT_EQ(windows(10), (std::vector<Window>{{{99}, {0, 1, 2, 3}}, {{3}, {4, 5, 6, 7}}, {{5, 6, 7}, {8, 9}}}));
}

}  // namespace
}  // namespace redoubt::engine::evaluate
