// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "engine/evaluate/evaluator.h"

namespace redoubt::engine::evaluate {
namespace {

model::Config tiny() {
  model::Config config;
  config.vocabulary = 97, config.hidden = 32, config.layers = 2, config.heads = 4, config.key_heads = 2,
  config.head_size = 8;
  config.intermediate = 48, config.context_length = 64, config.norm_epsilon = 1e-5, config.tied_embeddings = true;
  return config;
}

data::Example example_of(std::vector<std::int32_t> ids, std::int32_t answer_start, std::size_t line) {
  return {std::move(ids), answer_start, line, 2, 10};
}

TEST(CheckExamples, an_example_that_cannot_be_computed_is_named_by_its_line) {
  const auto config = tiny();
  for (const auto& bad : {example_of({1, 2, 3}, 3, 7), example_of({1, 97}, 1, 7), example_of({1, -1}, 1, 7),
                          example_of(std::vector<std::int32_t>(65, 1), 1, 7)}) {
    auto status = check_examples({&bad, 1}, config, "train.jsonl");
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().where, "train.jsonl: line 7");
  }
  EXPECT_FALSE(check_examples({}, config, "train.jsonl"));
}

TEST(PackAnswers, rows_are_those_whose_next_token_is_an_answer) {
  const auto a = example_of({5, 6, 7, 8}, 2, 1), b = example_of({9, 10, 11}, 1, 2);
  const data::Example* both[] = {&a, &b};
  const auto batch = pack_answers(both, Sharing::alone);
  EXPECT_TRUE(batch.rows.equal(at::tensor({1, 2, 4, 5}, at::kLong)));
  EXPECT_TRUE(batch.targets.equal(at::tensor({7, 8, 10, 11}, at::kLong)));
}

}  // namespace
}  // namespace redoubt::engine::evaluate
