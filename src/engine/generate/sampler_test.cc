// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <random>

#include "engine/generate/sampler.h"

namespace redoubt::engine::generate {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::int32_t chosen(SamplingOptions options, std::vector<float> logits) { return Sampler(options).choose(logits).value(); }

TEST(Sampler, takes_the_lowest_of_equals_and_no_nan) {
  EXPECT_EQ(chosen({.greedy = true}, {1, 3, 3, 2}), 1);
  EXPECT_EQ(chosen({.greedy = true}, {kNan, 1, kNan}), 1);
  EXPECT_EQ(chosen({.temperature = 0}, {1, 2}), 1);
  EXPECT_EQ(chosen({.temperature = 2}, {kNan, 1, kNan}), 1);
  EXPECT_EQ(chosen({}, {0, std::numeric_limits<float>::infinity(), kNan}), 1);
  EXPECT_EQ(Sampler({}).choose(std::vector<float>{kNan, -INFINITY}).error().code, ErrorCode::internal);
  EXPECT_EQ(Sampler({}).choose({}).error().code, ErrorCode::internal);
}

// How often each of the logits' tokens comes in 20,000 draws.
std::vector<double> shares(SamplingOptions options, const std::vector<float>& logits) {
  Sampler sampler(options);
  std::vector<double> counts(logits.size());
  for (int i = 0; i < 20000; ++i) counts[static_cast<std::size_t>(sampler.choose(logits).value())] += 1.0 / 20000;
  return counts;
}

TEST(Sampler, draws_with_the_softmax_probabilities) {
  const std::vector<float> logits = {std::log(0.5f), std::log(0.3f), std::log(0.15f), std::log(0.05f)};
  const auto all = shares({.seed = 7}, logits);
  EXPECT_NEAR(all[0], 0.5, 0.02);
  EXPECT_NEAR(all[3], 0.05, 0.01);
  const auto two = shares({.top_k = 2, .seed = 7}, logits);
  EXPECT_NEAR(two[0], 0.625, 0.02);
  EXPECT_EQ(two[2], 0);
  const auto nucleus = shares({.top_p = 0.7, .seed = 7}, logits);
  EXPECT_NEAR(nucleus[1], 0.375, 0.02);
  EXPECT_EQ(nucleus[2] + nucleus[3], 0);
  const auto cold = shares({.temperature = 0.5, .seed = 7}, logits);
  EXPECT_NEAR(cold[0], 0.25 / 0.365, 0.02);
}

TEST(Sampler, repeats_with_its_seed) {
  const std::vector<float> logits(100, 0.0f);
  Sampler one({.seed = 5}), other({.seed = 5}), third({.seed = 6});
  bool differs = false;
  for (int i = 0; i < 50; ++i) {
    const auto token = one.choose(logits).value();
    EXPECT_EQ(token, other.choose(logits).value());
    differs = differs || token != third.choose(logits).value();
  }
  EXPECT_TRUE(differs);
}

// Chi-squared of 200,000 draws against probabilities that are computed here, in another way: by sorting.
std::vector<double> exact(const SamplingOptions& o, std::vector<float> logits) {
  std::vector<std::size_t> order(logits.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](auto a, auto b) { return logits[a] > logits[b]; });
  std::vector<double> kept(logits.size());
  double total = 0, reached = 0, sum = 0;
  const auto k = o.top_k > 0 ? static_cast<std::size_t>(o.top_k) : order.size();
  const auto weight = [&](std::size_t i) { return std::exp(logits[order[i]] / o.temperature); };
  for (std::size_t i = 0; i < k; ++i) total += weight(i);
  for (std::size_t i = 0; i < k && reached < o.top_p * total; ++i) {
    reached += weight(i);
    if (weight(i) >= o.min_p * weight(0)) sum += kept[order[i]] = weight(i);
  }
  for (auto& probability : kept) probability /= sum;
  return kept;
}

TEST(Sampler, draws_are_distributed_as_the_exact_probabilities) {
  constexpr int kDraws = 200'000;
  std::mt19937 random(20261128);
  std::printf("seed 20261128\n");
  for (const SamplingOptions& options : {SamplingOptions{.seed = 1}, SamplingOptions{.temperature = 0.6, .top_k = 20, .seed = 2},
                                         SamplingOptions{.temperature = 1.7, .top_p = 0.8, .seed = 3}, SamplingOptions{.min_p = 0.05, .seed = 4},
                                         SamplingOptions{.temperature = 1.2, .top_p = 0.9, .top_k = 30, .min_p = 0.02, .seed = 5}}) {
    std::normal_distribution<float> normal(0, 2);
    std::vector<float> logits(50);
    for (auto& logit : logits) logit = normal(random);
    const auto probabilities = exact(options, logits);
    Sampler sampler(options);
    std::vector<int> counts(logits.size());
    for (int i = 0; i < kDraws; ++i) ++counts[static_cast<std::size_t>(sampler.choose(logits).value())];
    double chi_squared = 0;
    int classes = 0;
    for (std::size_t i = 0; i < counts.size(); ++i) {
      EXPECT_TRUE(probabilities[i] > 0 || counts[i] == 0);
      const double expected = probabilities[i] * kDraws;
      if (expected < 5) continue;
      chi_squared += (counts[i] - expected) * (counts[i] - expected) / expected;
      ++classes;
    }
    // One in a million by the Wilson-Hilferty approximation of the chi-squared quantile.
    const double df = classes - 1, z = 4.7534, limit = df * std::pow(1 - 2 / (9 * df) + z * std::sqrt(2 / (9 * df)), 3);
    EXPECT_LT(chi_squared, limit) << classes << " classes";
  }
}

TEST(Sampler, an_allowed_set_holds_whatever_the_options) {
  std::vector<float> logits(130, 1.0f);
  logits[5] = 50;
  const std::vector<std::uint64_t> allowed = {0, 1u << 3, 0};  // token 67 alone
  for (const SamplingOptions& options : {SamplingOptions{.greedy = true}, SamplingOptions{.top_p = 0.1}, SamplingOptions{.top_k = 1}, SamplingOptions{.min_p = 1}})
    EXPECT_EQ(Sampler(options).choose(logits, allowed).value(), 67);
  EXPECT_EQ(Sampler({}).choose(logits, std::vector<std::uint64_t>(3)).error().code, ErrorCode::internal);
}

TEST(Sampler, logprobs_are_of_the_logits_as_they_came) {
  const std::vector<float> logits = {std::log(0.5f), std::log(0.25f), std::log(0.25f), -INFINITY, kNan};
  const auto told = logprob_of(logits, 2, 3);
  EXPECT_NEAR(told.chosen.logprob, std::log(0.25), 1e-6);
  ASSERT_EQ(told.top.size(), 3u);
  EXPECT_EQ(told.top[0].id, 0);
  EXPECT_EQ(told.top[1].id, 1);
  EXPECT_EQ(logprob_of(logits, 3, 0).chosen.logprob, -INFINITY);
  EXPECT_EQ(logprob_of(logits, 0, 20).top.size(), 5u);
}

}  // namespace
}  // namespace redoubt::engine::generate
