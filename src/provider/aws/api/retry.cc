// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/api/retry.h"

#include <algorithm>
#include <cmath>

namespace redoubt::provider::aws {
namespace {

constexpr int kQuotaMax = 500, kRetryCost = 5, kTimeoutCost = 10;
// The cubic rate control of AWS's SDKs: after throttling the rate falls to `kBeta` of what was measured and comes back along a
// cubic, slowly around the rate that was too high.
constexpr double kBeta = 0.7, kScale = 0.4, kRateMin = 0.5, kBurst = 2, kSmooth = 0.8;

double seconds(RetryPolicy::Steady::duration span) { return std::chrono::duration<double>(span).count(); }

}  // namespace

int RetryPolicy::pause_before(int next, Cause cause) {
  const std::lock_guard lock(mutex_);
  if (next > options_.attempts_max) return -1;
  const int cost = cause == Cause::timeout ? kTimeoutCost : kRetryCost;
  if (quota_ < cost) return -1;
  quota_ -= cost;
  const int base = cause == Cause::throttled ? options_.throttled_base_ms : options_.base_ms;
  const int longest = static_cast<int>(std::min<double>(options_.pause_ms_max, std::ldexp(base, std::min(next - 2, 20))));
  return std::uniform_int_distribution<int>(0, std::max(longest, 1))(random_);
}

void RetryPolicy::on_success(int attempts) {
  const std::lock_guard lock(mutex_);
  quota_ = std::min(kQuotaMax, quota_ + std::max(1, (attempts - 1) * kRetryCost));
}

int RetryPolicy::pause_to_send(Steady::time_point now) {
  const std::lock_guard lock(mutex_);
  if (!limited_) return 0;
  refill(now);
  tokens_ -= 1;  // may go below zero: who comes next waits longer
  return tokens_ >= 0 ? 0 : static_cast<int>(std::min(-tokens_ / fill_rate_ * 1000, static_cast<double>(options_.pause_ms_max)));
}

void RetryPolicy::refill(Steady::time_point now) {
  tokens_ = std::min(std::max(kBurst, fill_rate_), tokens_ + fill_rate_ * seconds(now - filled_));
  filled_ = now;
}

// Requests a second, smoothed over half seconds.
void RetryPolicy::update_measured_rate(Steady::time_point now) {
  ++bucket_count_;
  const double span = seconds(now - bucket_start_);
  if (span < 0.5) return;
  const double rate = bucket_count_ / std::min(span, 10.0);
  measured_rate_ = measured_rate_ == 0 ? rate : rate * kSmooth + measured_rate_ * (1 - kSmooth);
  bucket_start_ = now;
  bucket_count_ = 0;
}

void RetryPolicy::on_answer(bool throttled, Steady::time_point now) {
  const std::lock_guard lock(mutex_);
  if (bucket_start_ == Steady::time_point{}) bucket_start_ = now;
  update_measured_rate(now);
  if (!throttled && !limited_) return;
  double rate = 0;
  if (throttled) {
    rate_before_ = limited_ ? std::min(std::max(measured_rate_, kRateMin), fill_rate_) : std::max(measured_rate_, kRateMin);
    throttled_ = now;
    rate = rate_before_ * kBeta;
  } else {
    const double window = std::cbrt(rate_before_ * (1 - kBeta) / kScale);
    rate = kScale * std::pow(seconds(now - throttled_) - window, 3) + rate_before_;
  }
  if (!limited_) filled_ = now;
  limited_ = true;
  refill(now);
  fill_rate_ = std::clamp(rate, kRateMin, std::max(2 * measured_rate_, kRateMin));
}

}  // namespace redoubt::provider::aws
