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

TEST(Gate, metrics_of_generations_and_choices_count_when_given) {
  Thresholds strict;
  strict.exact_match_min = 0.5, strict.bleu_min = 20, strict.bits_per_byte_max = 1;
  auto measured = evaluation(1.0);
  measured.update({{"exact_match", 0.5}, {"bleu", 19.9}, {"bits_per_byte", 0.9}});
  const auto result = apply_gate(strict, measured);
  ASSERT_EQ(result.failures.size(), 1u);
  EXPECT_EQ(result.failures[0].metric, "bleu");
  EXPECT_EQ(apply_gate(strict, evaluation(1.0)).failures.size(), 3u);  // what was not measured is as bad as can be
}

// A line of per_example.jsonl.
std::string line(int index, double log_likelihood, int correct = 1, int tokens = 4, const char* example = "a") {
  return dump_json({{"index", index}, {"example", example}, {"tokens", tokens}, {"correct", correct}, {"log_likelihood", log_likelihood}}) + "\n";
}

std::string lines(int count, auto log_likelihood) {
  std::string out;
  for (int i = 0; i < count; ++i) out += line(i, log_likelihood(i));
  return out;
}

double noise(int i) { return static_cast<double>(i * i % 97) / 97 - 0.5; }
double base_score(int i) { return -4 - 3 * noise(i + 31); }

Comparison compared(const std::string& ours, const std::string& theirs, const NotWorseThan& rule = {}) { return compare(ours, "a", theirs, "b", rule).value(); }

NotWorseThan margin_of(double margin) {
  NotWorseThan rule;
  rule.margin = margin;
  return rule;
}

TEST(Compare, a_model_against_itself_is_not_worse_and_nothing_is_lost) {
  const auto same = compared(lines(50, base_score), lines(50, base_score));
  EXPECT_EQ(same.standing, Standing::not_worse);
  EXPECT_EQ(same.worse_by, 0);
  EXPECT_EQ(same.p_value, 1);
  EXPECT_EQ(same.ties, 50u);
}

TEST(Compare, what_is_better_or_worse_on_the_same_examples_is_told_though_examples_differ_widely) {
  const auto ours = lines(200, base_score);
  const auto better = lines(200, [](int i) { return base_score(i) + 0.2 + 0.3 * noise(i); });
  const auto worse_one = compared(ours, better);
  EXPECT_EQ(worse_one.standing, Standing::worse);
  EXPECT_NEAR(worse_one.worse_by, 0.05, 0.01);
  EXPECT_LT(worse_one.p_value, 0.001);
  EXPECT_GT(worse_one.losses, worse_one.wins);
  EXPECT_EQ(compared(better, ours).standing, Standing::not_worse);
  EXPECT_EQ(compared(ours, better, margin_of(0.1)).standing, Standing::not_worse);
}

TEST(Compare, few_examples_or_small_differences_stay_undecided) {
  const auto other = [](int i) { return base_score(i) + noise(i); };
  EXPECT_EQ(compared(lines(20, base_score), lines(20, other)).standing, Standing::undecided);
  EXPECT_EQ(compared(line(0, -3), line(0, -2)).standing, Standing::undecided);
}

TEST(Compare, other_examples_are_refused_by_their_line) {
  const auto refused = [](const std::string& ours, const std::string& theirs, const char* metric = "eval_loss") {
    NotWorseThan rule;
    rule.metric = metric;
    return compare(ours, "a", theirs, "b", rule).error();
  };
  EXPECT_EQ(refused(line(0, -1) + line(1, -1), line(0, -1) + line(1, -1, 1, 4, "x")).where, "b: line 2");
  EXPECT_EQ(refused(line(0, -1, 1, 4), line(0, -1, 1, 5)).where, "b: line 1");
  EXPECT_EQ(refused(line(0, -1) + line(1, -1), line(0, -1)).where, "b");
  EXPECT_EQ(refused(line(0, -1), "{\"index\":0}\n").where, "b: line 1");
  EXPECT_EQ(refused(line(0, -1), line(0, -1), "rouge_l").where, "a");
  EXPECT_EQ(refused("", "").code, ErrorCode::invalid_argument);
}

TEST(Compare, decides_the_gate_only_where_the_thresholds_are_met) {
  Comparison comparison;
  comparison.standing = Standing::worse;
  comparison.worse_by = 0.3, comparison.rule.margin = 0.1;
  const auto worse = apply_gate({}, evaluation(1.0), &comparison);
  EXPECT_EQ(worse.verdict, Verdict::fail);
  ASSERT_EQ(worse.failures.size(), 1u);
  EXPECT_EQ(worse.failures[0].metric, "eval_loss_worse_by");
  EXPECT_EQ(worse.failures[0].limit, 0.1);
  comparison.standing = Standing::undecided;
  EXPECT_EQ(apply_gate({}, evaluation(1.0), &comparison).verdict, Verdict::undecided);
  EXPECT_EQ(apply_gate({}, evaluation(3.0), &comparison).verdict, Verdict::fail);
  comparison.standing = Standing::not_worse;
  EXPECT_EQ(apply_gate({}, evaluation(1.0), &comparison).verdict, Verdict::pass);
}

}  // namespace
}  // namespace redoubt::stages::evaluate
