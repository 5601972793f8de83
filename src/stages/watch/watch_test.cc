// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>

#include "stages/watch/testing_alarms.h"

namespace redoubt::stages::watch {
namespace {

TEST(Alarms, tell_of_each_change_once) {
  Alarms alarms;
  EXPECT_TRUE(alarms.update({{"InvocationErrors", 10}}).empty());
  const auto raised = alarms.update({{"InvocationErrors", 11}});
  ASSERT_EQ(raised.size(), 1u);
  EXPECT_EQ(raised[0].alarm.state, AlarmState::alarm);
  EXPECT_EQ(raised[0].before, AlarmState::ok);
  EXPECT_TRUE(alarms.update({{"InvocationErrors", 12}}).empty());
  EXPECT_EQ(alarms.update({{"InvocationErrors", 0}}).size(), 1u);
}

TEST(Alarms, drift_needs_two_windows_in_a_row) {
  Alarms alarms;
  EXPECT_TRUE(alarms.update({{"DataDrift", 1.5}}).empty());
  EXPECT_TRUE(alarms.update({{"DataDrift", 0.5}}).empty());
  EXPECT_TRUE(alarms.update({{"DataDrift", 1.5}}).empty());
  EXPECT_EQ(alarms.update({{"DataDrift", 1.5}}).size(), 1u);
}

TEST(Alarms, what_a_monitor_elsewhere_says_is_an_alarm_at_once) {
  const auto rules = monitored_alarms({});
  ASSERT_EQ(rules.size(), 1u);
  EXPECT_EQ(rules[0].name, "DataDrift");
  EXPECT_EQ(rules[0].periods, 1);
}

TEST(CertificateDays, are_missing_from_a_fortnight_or_a_sixth_of_a_life_before_the_end) {
  using namespace std::chrono_literals;
  const TimePoint begin{1'000'000'000s};
  const auto missing = [&](int days, std::chrono::hours passed) { return certificate_days_missing(begin, begin + std::chrono::days(days), begin + passed); };
  EXPECT_EQ(missing(90, 76 * 24h), 0);
  EXPECT_DOUBLE_EQ(missing(90, 77 * 24h), 1);
  EXPECT_DOUBLE_EQ(missing(90, 90 * 24h), 14);
  EXPECT_DOUBLE_EQ(missing(90, 100 * 24h), 24);  // as long as it is not replaced
  EXPECT_EQ(missing(6, 5 * 24h), 0);
  EXPECT_DOUBLE_EQ(missing(6, 5 * 24h + 12h), 0.5);
  EXPECT_DOUBLE_EQ(missing(90, -36h), 1.5);  // a clock that was set back, to before it is valid
}

TEST(Alarms, a_certificate_near_its_end_is_one) {
  Alarms alarms;
  EXPECT_TRUE(alarms.update({{"CertificateExpiry", 0}}).empty());
  EXPECT_EQ(alarms.update({{"CertificateExpiry", 0.25}}).size(), 1u);
  EXPECT_EQ(alarms.update({{"CertificateExpiry", 0}}).size(), 1u);
}

TEST(Alarms, a_value_that_is_no_number_is_an_alarm) { EXPECT_EQ(Alarms().update({{"LatencyP99", std::nan("")}}).size(), 1u); }

TEST(Alarms, go_on_where_an_earlier_process_ended) {
  Alarms first;
  (void)first.update({{"UnauthorizedAttempts", 6}});
  Alarms second(first.saved());
  EXPECT_TRUE(second.update({{"UnauthorizedAttempts", 7}}).empty());
  EXPECT_FALSE(parse_alarms(Json::object()));
}

TEST(Alarms, what_was_not_told_before_a_kill_is_told_after_it) {
  Alarms first;
  (void)first.update({{"UnauthorizedAttempts", 6}});
  const auto now = parse_alarms(first.saved()).value();
  EXPECT_EQ(changes_since({}, now).size(), 1u);
  EXPECT_TRUE(changes_since(now, now).empty());
}

}  // namespace
}  // namespace redoubt::stages::watch
