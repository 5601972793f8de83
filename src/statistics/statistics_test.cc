// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>

#include "statistics/bootstrap.h"

namespace redoubt::statistics {
namespace {

double mean_of(std::span<const double> sums) { return sums[0] / sums[1]; }

Sums series(std::size_t count, auto numerator, auto denominator) {
  Sums sums{.width = 2, .values = {}};
  for (std::size_t i = 0; i < count; ++i) sums.values.insert(sums.values.end(), {numerator(i), denominator(i)});
  return sums;
}

double one(std::size_t) { return 1; }

// numpy.quantile([1, 2, 4, 8, 16], [0, 0.1, 0.5, 0.975, 1])
TEST(Quantile, is_numpys_default) {
  const std::vector<double> values = {1, 2, 4, 8, 16};
  const std::pair<double, double> expected[] = {{0, 1}, {0.1, 1.4}, {0.5, 4}, {0.975, 15.2}, {1, 16}};
  for (const auto& [q, value] : expected) EXPECT_NEAR(quantile(values, q), value, 1e-12) << q;
}

// scipy.stats.bootstrap(method="percentile", 200,000 resamples); the tolerance is what 20,000 of ours may be off.
TEST(Bootstrap, intervals_of_a_mean_and_of_a_ratio_are_scipys) {
  const auto values = series(200, [](std::size_t i) { return static_cast<double>(i * 37 % 101) / 10; }, one);
  const auto ninety = *bootstrap(values, mean_of, {.resamples = 20000, .confidence = 0.9});
  EXPECT_NEAR(ninety.low, 4.6645, 0.012);
  EXPECT_NEAR(ninety.high, 5.3425, 0.012);
  const auto more = *bootstrap(values, mean_of, {.resamples = 20000});
  EXPECT_NEAR(more.low, 4.6005, 0.015);
  EXPECT_NEAR(more.high, 5.4080, 0.015);
  const auto ratio = series(120, [](std::size_t i) { return static_cast<double>(i * 29 % 53) + 1; }, [](std::size_t i) { return static_cast<double>(i * 17 % 31) + 5; });
  const auto pairs = *bootstrap(ratio, mean_of, {.resamples = 20000});
  EXPECT_NEAR(pairs.low, 1.23058, 0.006);
  EXPECT_NEAR(pairs.high, 1.46111, 0.006);
}

TEST(Bootstrap, follows_from_its_seed) {
  const auto values = series(50, [](std::size_t i) { return static_cast<double>(i * i % 997); }, one);
  const auto first = *bootstrap(values, mean_of, {}), again = *bootstrap(values, mean_of, {}), other = *bootstrap(values, mean_of, {.seed = 43});
  EXPECT_EQ(first.low, again.low);
  EXPECT_EQ(first.high, again.high);
  EXPECT_NE(first.low + first.high, other.low + other.high);
}

TEST(Bootstrap, tells_nothing_of_one_example_or_of_what_is_no_number) {
  EXPECT_FALSE(bootstrap(series(1, one, one), mean_of, {}));
  EXPECT_FALSE(bootstrap(series(0, one, one), mean_of, {}));
  EXPECT_FALSE(bootstrap(series(5, one, [](std::size_t) { return 0.0; }), mean_of, {}));
  const auto equal = *bootstrap(series(5, one, one), mean_of, {});
  EXPECT_EQ(equal.low, 1);
  EXPECT_EQ(equal.high, 1);
}

// scipy.stats.permutation_test(permutation_type="samples"): exact for the short ones, 200,000 draws for the long one.
TEST(SignFlip, is_the_paired_permutation_test) {
  EXPECT_DOUBLE_EQ(sign_flip_p_value(std::vector<double>{0.3, -0.1, 0.25, 0.4, 0.05, -0.2, 0.6, 0.15}, {}), 0.109375);
  EXPECT_DOUBLE_EQ(sign_flip_p_value(std::vector<double>{1, 2, 3}, {}), 0.25);
  EXPECT_DOUBLE_EQ(sign_flip_p_value(std::vector<double>{0, 0}, {}), 1);
  std::vector<double> longer;
  for (int i = 0; i < 40; ++i) longer.push_back(static_cast<double>(i * 37 % 101) / 50 - 0.9);
  EXPECT_NEAR(sign_flip_p_value(longer, {.resamples = 50000}), 0.31293, 0.008);
}

}  // namespace
}  // namespace redoubt::statistics
