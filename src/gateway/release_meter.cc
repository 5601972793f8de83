// SPDX-License-Identifier: Apache-2.0
#include "gateway/release_meter.h"

#include <vector>

#include "gateway/percentile.h"

namespace redoubt::gateway {
namespace {
constexpr std::size_t kEventsMax = 8192;
constexpr auto kWindow = std::chrono::minutes(1);
}  // namespace

void ReleaseMeter::add(Kind kind, double latency_ms) {
  const std::lock_guard lock(mutex_);
  events_.push_back({std::chrono::steady_clock::now(), kind, latency_ms});
  if (events_.size() > kEventsMax) events_.pop_front();
}

void ReleaseMeter::add_answer(double latency_ms) { add(Kind::answer, latency_ms); }
void ReleaseMeter::add_error() { add(Kind::error, 0); }
void ReleaseMeter::add_guard_hit() { add(Kind::guard_hit, 0); }

ReleaseMeter::Reading ReleaseMeter::read() const {
  Reading reading;
  std::vector<double> latencies;
  {
    const std::lock_guard lock(mutex_);
    const auto since = std::chrono::steady_clock::now() - kWindow;
    for (auto at = events_.rbegin(); at != events_.rend() && at->time >= since; ++at) {
      if (at->kind == Kind::error) ++reading.errors;
      if (at->kind == Kind::guard_hit) ++reading.guard_hits;
      if (at->kind == Kind::answer) latencies.push_back(at->latency_ms);
    }
  }
  reading.answers = latencies.size();
  reading.latency_p99_ms = percentile(latencies, 0.99);
  return reading;
}

}  // namespace redoubt::gateway
