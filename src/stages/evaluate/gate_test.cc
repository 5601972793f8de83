// SPDX-License-Identifier: Apache-2.0
#include "stages/evaluate/gate.h"

#include <gtest/gtest.h>

#include <cmath>

namespace redoubt::stages::evaluate {
namespace {

Json evaluation(double loss) {
  return {{"examples", 60}, {"eval_loss", loss}, {"perplexity", std::exp(loss)}, {"accuracy", 0.7}, {"word_perplexity", 30.0}, {"byte_perplexity", 2.0}};
}

TEST(Gate, refuses_the_base_model_and_passes_the_tuned_one) {
  const auto base = apply_gate({}, evaluation(3.94));  // measured with Transformers and PEFT on the demo's data
  EXPECT_EQ(base.verdict, Verdict::fail);
  ASSERT_EQ(base.failures.size(), 2u);
  EXPECT_EQ(base.failures[0].metric, "perplexity");
  EXPECT_EQ(base.failures[1].metric, "eval_loss");
  EXPECT_EQ(apply_gate({}, evaluation(1.43)).verdict, Verdict::pass);
}

TEST(Gate, a_value_at_the_limit_is_refused) {
  EXPECT_EQ(apply_gate({}, evaluation(1.5)).verdict, Verdict::fail);
  EXPECT_EQ(apply_gate({}, evaluation(1.4999)).verdict, Verdict::pass);
}

TEST(Gate, missing_or_unreal_numbers_are_refused) {
  for (const Json& value : {Json(nullptr), Json("1.0"), Json(std::nan("")), Json(-std::numeric_limits<double>::infinity())}) {
    auto broken = evaluation(1.0);
    broken["eval_loss"] = value;
    EXPECT_EQ(apply_gate({}, broken).verdict, Verdict::fail) << value;
  }
  auto missing = evaluation(1.0);
  missing.erase("perplexity");
  EXPECT_EQ(apply_gate({}, missing).verdict, Verdict::fail);
}

TEST(Gate, too_few_examples_leave_it_undecided) {
  auto few = evaluation(1.0);
  few["examples"] = 29;
  EXPECT_EQ(apply_gate({}, few).verdict, Verdict::undecided);
  EXPECT_EQ(apply_gate({}, Json::object()).verdict, Verdict::undecided);
}

TEST(Gate, optional_limits_count_when_given) {
  Thresholds strict;
  strict.word_perplexity_max = 20;
  strict.accuracy_min = 0.8;
  const auto result = apply_gate(strict, evaluation(1.0));
  ASSERT_EQ(result.failures.size(), 2u);
  EXPECT_EQ(result.failures[0].metric, "word_perplexity");
  EXPECT_EQ(result.failures[1].metric, "accuracy");
}

}  // namespace
}  // namespace redoubt::stages::evaluate
