// SPDX-License-Identifier: Apache-2.0
//
// Time as it passes: it never goes back and never leaps, whoever sets the machine's clock. For whatever lasts: limits by the minute, waits,
// how long an answer took. Its points in time mean nothing but their distance, so none of them is ever stored or shown.
#pragma once

#include <chrono>

#include "base/clock.h"

namespace redoubt {

class MonotonicClock final : public Clock {
 public:
  TimePoint now() const override { return TimePoint(std::chrono::floor<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch())); }
};

// The machine's.
inline const Clock& monotonic_clock() {
  static const MonotonicClock kClock;
  return kClock;
}

}  // namespace redoubt
