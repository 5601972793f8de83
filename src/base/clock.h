// SPDX-License-Identifier: Apache-2.0
//
// Time, injected wherever it matters, so that tests can move it.
#pragma once

#include <atomic>
#include <chrono>
#include <string>
#include <string_view>

#include "base/result.h"

namespace redoubt {

using TimePoint = std::chrono::sys_time<std::chrono::milliseconds>;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual TimePoint now() const = 0;
};

// The machine's clock.
class SystemClock final : public Clock {
 public:
  TimePoint now() const override;
};

// A clock that a test moves by hand. Safe to use from several threads.
class FakeClock final : public Clock {
 public:
  explicit FakeClock(TimePoint start = TimePoint{std::chrono::seconds{1'700'000'000}}) : now_(start) {}
  TimePoint now() const override { return now_.load(); }
  void advance(std::chrono::milliseconds by) { now_ = now_.load() + by; }

 private:
  std::atomic<TimePoint> now_;
};

// RFC 3339 in UTC with milliseconds: "2026-01-31T08:00:00.000Z"; the parser takes any number of fraction digits and Z only.
std::string to_rfc3339(TimePoint time);
Result<TimePoint> parse_rfc3339(std::string_view text);

}  // namespace redoubt
