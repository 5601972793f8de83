// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "engine/evaluate/eval_rows.h"
#include "engine/evaluate/evaluator.h"
#include "engine/train/testing.h"

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

// Passes of any size, side by side or not, over matrices as they are loaded and in panels.
TEST(Evaluate, an_example_s_score_hangs_on_no_other_example_and_on_no_number_of_threads) {
  const auto examples = train::testing::random_examples(23, 97, 3);
  const auto score = [&](const model::CausalModel& base, const EvaluateOptions& options, int threads) {
    at::set_num_threads(threads);
    std::vector<std::int64_t> told;
    auto with_progress = options;
    with_progress.progress = [&](std::int64_t done, std::int64_t total) {
      EXPECT_EQ(total, 23);
      told.push_back(done);
    };
    auto scores = evaluate(base, nullptr, examples, with_progress)->examples;
    EXPECT_TRUE(std::is_sorted(told.begin(), told.end()) && told.front() == 0 && told.back() == 23);
    return scores;
  };
  const auto before = at::get_num_threads();
  const auto dense = train::testing::tiny_model(5), packed = train::testing::tiny_model(5);
  packed->pack();
  const auto alone = score(*dense, {.examples_max = 1}, 1);
  for (const auto* base : {dense.get(), packed.get()})
    for (const auto& options : {EvaluateOptions{}, EvaluateOptions{.rows_max = 64}, EvaluateOptions{.examples_max = 4}})
      for (int threads : {1, 2, 3}) {
        const auto scores = score(*base, options, threads);
        for (std::size_t i = 0; i < alone.size(); ++i) {
          EXPECT_NEAR(scores[i].log_likelihood, alone[i].log_likelihood, 1e-4) << i;
          EXPECT_EQ(scores[i].correct, alone[i].correct) << i;
          EXPECT_EQ(scores[i].tokens, alone[i].tokens) << i;
        }
      }
  at::set_num_threads(before);
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
