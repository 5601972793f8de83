// SPDX-License-Identifier: Apache-2.0
#include "monitor/drift.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace redoubt::monitor {
namespace {

// scipy.stats.chi2.ppf
TEST(ChiSquared, quantiles_equal_scipy) {
  const struct { double probability, degrees, expected; } rows[] = {
      {0.95, 1, 3.841458820694124}, {0.99, 9, 21.665994333461924}, {0.999, 9, 27.877164871256568}, {0.999, 4, 18.46682695290317}, {0.5, 30, 29.336031516661585}};
  for (const auto& row : rows) EXPECT_NEAR(chi_squared_quantile(row.probability, row.degrees) / row.expected, 1.0, 1e-9);
}

TEST(StabilityIndex, is_zero_for_equal_shares_and_matches_its_definition) {
  EXPECT_NEAR(population_stability_index({10, 20, 30}, {100, 200, 300}), 0, 1e-15);
  EXPECT_NEAR(population_stability_index({50, 50}, {80, 20}), 0.3 * std::log(0.8 / 0.5) - 0.3 * std::log(0.2 / 0.5), 1e-12);
  EXPECT_TRUE(std::isfinite(population_stability_index({0, 100}, {100, 0})));
}

std::vector<std::string> prompts(unsigned seed, int count, int words_min, int words_max) {
  std::mt19937 random(seed);
  std::vector<std::string> out;
  for (int i = 0; i < count; ++i) {
    std::string text = "How do I";
    const int words = words_min + static_cast<int>(random() % static_cast<unsigned>(words_max - words_min));
    for (int w = 0; w < words; ++w) text += " " + std::string(2 + random() % 7, static_cast<char>('a' + random() % 26));
    out.push_back(text + "?");
  }
  return out;
}

TEST(Drift, same_distribution_raises_no_alarm_in_a_hundred_windows) {
  const auto baseline = *make_baseline(prompts(1, 530, 4, 14));
  int alarms = 0;
  for (unsigned seed = 100; seed < 200; ++seed) alarms += measure_drift(baseline, prompts(seed, 200, 4, 14))->violated() ? 1 : 0;
  EXPECT_EQ(alarms, 0);
}

TEST(Drift, longer_prompts_are_seen) {
  const auto baseline = *make_baseline(prompts(1, 530, 4, 14));
  const auto report = *measure_drift(baseline, prompts(2, 200, 20, 60));
  EXPECT_TRUE(report.violated());
  EXPECT_FALSE(report.to_violations()["violations"].empty());
}

TEST(Drift, few_rows_leave_it_undecided) {
  const auto baseline = *make_baseline(prompts(1, 530, 4, 14));
  EXPECT_EQ(measure_drift(baseline, prompts(2, 199, 4, 14)).error().code, ErrorCode::undecided);
  EXPECT_EQ(make_baseline(prompts(1, 10, 4, 14)).error().code, ErrorCode::undecided);
}

TEST(Drift, a_baseline_reads_back_what_it_wrote) {
  const auto baseline = *make_baseline(prompts(1, 530, 4, 14));
  const auto again = *Baseline::from_statistics(*parse_json(dump_json(baseline.to_statistics()), "t"));
  EXPECT_EQ(again.rows, baseline.rows);
  EXPECT_EQ(dump_json(measure_drift(again, prompts(3, 250, 1, 30))->to_violations()), dump_json(measure_drift(baseline, prompts(3, 250, 1, 30))->to_violations()));
  EXPECT_FALSE(Baseline::from_statistics(Json::object()));
}

TEST(Drift, a_baseline_that_could_not_tell_drift_is_refused) {
  const Json good = make_baseline(prompts(1, 530, 4, 14))->to_statistics();
  ASSERT_TRUE(Baseline::from_statistics(good));
  const auto refused = [&](const char* pointer, const Json& value) {
    Json changed = good;
    changed[Json::json_pointer(pointer)] = value;
    const auto read = Baseline::from_statistics(changed);
    EXPECT_FALSE(read) << pointer << " " << value;
    EXPECT_TRUE(read || read.error().code == ErrorCode::invalid_argument);
  };
  refused("/dataset/item_count", 0);
  refused("/dataset/item_count", -5);
  refused("/dataset/item_count", 531);
  refused("/features", Json::array());
  refused("/features", Json::object());
  refused("/features/0/histogram/edges/0", nullptr);
  refused("/features/0/histogram/edges/0", "12");
  refused("/features/0/histogram/edges/0", std::nan(""));
  refused("/features/0/histogram/edges/0", 1e300);
  refused("/features/0/histogram/counts/0", -1);
  refused("/features/0/histogram/counts/0", 1.5);
  refused("/features/0/histogram/counts/0", "many");
  refused("/features/0/histogram/counts/0", std::numeric_limits<std::uint64_t>::max());
  refused("/features/0/histogram/counts", Json::array());
  refused("/features/0/name", good["features"][1]["name"]);
  Json twice = good;
  twice["features"][0]["histogram"]["edges"][1] = twice["features"][0]["histogram"]["edges"][0];
  EXPECT_FALSE(Baseline::from_statistics(twice));
}

TEST(Drift, an_empty_baseline_leaves_it_undecided) {
  EXPECT_EQ(measure_drift({}, prompts(2, 200, 4, 14)).error().code, ErrorCode::undecided);
  Baseline no_features;
  no_features.rows = 530;
  EXPECT_EQ(measure_drift(no_features, prompts(2, 200, 4, 14)).error().code, ErrorCode::undecided);
  EXPECT_FALSE(measure_drift({530, {{"words", {1, 2}, {530}}}}, prompts(2, 200, 4, 14)));
}

}  // namespace
}  // namespace redoubt::monitor
