// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/api/retry.h"

#include <gtest/gtest.h>

namespace redoubt::provider::aws {
namespace {

using std::chrono::milliseconds;

// Sends requests one behind the other, each answered at once, and tells how long they took.
milliseconds time_of(RetryPolicy& policy, RetryPolicy::Steady::time_point& now, int requests) {
  const auto start = now;
  for (int i = 0; i < requests; ++i) {
    now += milliseconds(policy.pause_to_send(now) + 10);
    policy.on_answer(false, now);
  }
  return std::chrono::duration_cast<milliseconds>(now - start);
}

TEST(RetryPolicy, one_throttled_request_slows_the_next_ones_and_then_no_longer) {
  RetryPolicy policy({});
  RetryPolicy::Steady::time_point now{std::chrono::hours(1)};
  EXPECT_EQ(time_of(policy, now, 50), milliseconds(500));
  policy.on_answer(true, now);
  const auto slowed = time_of(policy, now, 50);
  EXPECT_GT(slowed, milliseconds(500));
  EXPECT_LT(slowed, milliseconds(20'000));
  EXPECT_LT(time_of(policy, now, 50), slowed);
}

TEST(RetryPolicy, attempts_are_bounded_and_a_quota_stops_a_storm) {
  RetryPolicy policy({.attempts_max = 3});
  EXPECT_GE(policy.pause_before(2, RetryPolicy::Cause::transient), 0);
  EXPECT_GE(policy.pause_before(3, RetryPolicy::Cause::throttled), 0);
  EXPECT_EQ(policy.pause_before(4, RetryPolicy::Cause::transient), -1);
  int granted = 2;
  while (policy.pause_before(2, RetryPolicy::Cause::transient) >= 0) ++granted;
  EXPECT_EQ(granted, 100);  // 500 tokens at 5 each
  policy.on_success(2);
  EXPECT_GE(policy.pause_before(2, RetryPolicy::Cause::transient), 0);
}

}  // namespace
}  // namespace redoubt::provider::aws
