// SPDX-License-Identifier: Apache-2.0
//
// How many workers a load needs: target tracking. Each target is a load that one worker should have; the one that asks for most workers
// counts. More are started at once, fewer only when fewer were enough for a while, so that a load that comes and goes does not start and
// stop them.
#pragma once

#include <chrono>
#include <deque>

#include "base/json.h"

namespace redoubt::gateway {

struct ScaleOptions {
  int min = 1, max = 1;          // 0 at least: the first request then waits for a start
  double requests = 0;           // in flight and waiting, a worker; 0: no such target
  double tokens_per_second = 0;  // made, a worker; 0: no such target
  int queue_ms = 0;              // that a request waits for a slot; 0: no such target
  int scale_in_s = 300;          // so long fewer must have been enough
  int start_s_max = 120;         // so long a request waits for the first worker

  bool is_fixed() const { return min == max; }
  // Unknown members, what is out of range and a range without a target are invalid_argument.
  static Result<ScaleOptions> from_json(const Json& json);
};

class Scaling {
 public:
  using Time = std::chrono::steady_clock::time_point;
  struct Load {
    int workers = 0;   // that are wanted now
    int requests = 0;  // in flight and waiting
    double tokens_per_second = 0;
    double queue_ms = 0;
  };

  explicit Scaling(ScaleOptions options) : options_(options) {}
  // How many there should be.
  int look(const Load& load, Time now);

 private:
  int needed(const Load& load) const;
  const ScaleOptions options_;
  struct Look {
    Time time;
    int needed;
  };
  std::deque<Look> looks_;  // each needs more than those after it
};

}  // namespace redoubt::gateway
