// SPDX-License-Identifier: Apache-2.0
//
// How often and how fast a client tries again: pauses with full jitter, a quota that stops many calls from trying again at
// once, and a send rate that follows a service's throttling (AWS's "adaptive" mode).
#pragma once

#include <chrono>
#include <mutex>
#include <random>

namespace redoubt::provider::aws {

struct RetryOptions {
  int attempts_max = 5;
  int base_ms = 100;            // before the second attempt at most; doubled for each further one
  int throttled_base_ms = 500;  // the same after throttling
  int pause_ms_max = 20'000;
};

class RetryPolicy {
 public:
  using Steady = std::chrono::steady_clock;

  explicit RetryPolicy(RetryOptions options) : options_(options) {}

  enum class Cause { transient, timeout, throttled };
  // Milliseconds to wait before attempt number `next` (2, 3...), or -1 where there is to be none.
  int pause_before(int next, Cause cause);
  // An exchange came to a good end: what its attempts took from the quota goes back.
  void on_success(int attempts);
  // Milliseconds to wait before sending anything, none while no service has throttled.
  int pause_to_send(Steady::time_point now);
  void on_answer(bool throttled, Steady::time_point now);

 private:
  void refill(Steady::time_point now);
  void update_measured_rate(Steady::time_point now);

  const RetryOptions options_;
  std::mutex mutex_;
  std::minstd_rand random_{std::random_device{}()};
  int quota_ = 500;
  // The token bucket; rates in requests a second.
  bool limited_ = false;
  double fill_rate_ = 0, tokens_ = 0, measured_rate_ = 0, rate_before_ = 0;
  Steady::time_point filled_{}, throttled_{}, bucket_start_{};
  int bucket_count_ = 0;
};

}  // namespace redoubt::provider::aws
