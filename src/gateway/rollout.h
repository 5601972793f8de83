// SPDX-License-Identifier: Apache-2.0
//
// A release that comes into service by steps: tried beside the one that stands, then all traffic, then for good; and back by itself as soon
// as one of its alarms rises, at any of these steps. Going back is immediate and waits for nobody; what is to be recorded of it is
// recorded after. Going forward is recorded first.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/json.h"
#include "gateway/router.h"

namespace redoubt::gateway {

enum class RolloutKind { blue_green, canary, shadow };
const char* to_string(RolloutKind kind);

struct RolloutPlan {
  RolloutKind kind = RolloutKind::canary;
  int percent = 10;   // of the requests that the candidate sees while it is tried; blue_green has no such time
  int wait_s = 300;   // how long it is tried
  int bake_s = 300;   // how long the release before stays warm after all traffic was shifted, and the alarms count
  // The alarms, each over the candidate's last minute:
  int errors_max = 3;               // of its engine
  double latency_p99_ms_max = 0;    // 0: what the endpoint's own alarm has; from 20 answers on
  int guard_hits_max = 0;           // 0: not looked at
  int worker_failures_max = 0;      // workers of it that died or hung

  Json to_json() const;
  // Unknown members and what is out of range are invalid_argument.
  static Result<RolloutPlan> from_json(const Json& json);
};

// An alarm with its value and limit, as people read it.
std::string alarm_text(std::string_view alarm, double value, double limit);

// Which alarm a release raises, with its value and limit; nothing while it is well.
std::optional<std::string> alarm_of(const RolloutPlan& plan, const ReleaseMeter::Reading& reading, std::uint64_t worker_failures);

class Rollout {
 public:
  // Begins the trial and looks at the alarms from now on. Errors of Router::begin_trial. The router outlives it.
  static Result<std::unique_ptr<Rollout>> begin(RolloutPlan plan, Router& router, Release candidate);
  // Stops looking; where the traffic goes stays as it is.
  ~Rollout();

  // No new request goes to the candidate once this returns. The first reason counts.
  void roll_back(const std::string& reason);
  std::optional<std::string> rolled_back() const;

  // What the plan wants by now, never after a roll-back.
  enum class Due { nothing, shift, promote };
  Due due() const;
  void shift();      // all requests go to the candidate
  Status promote();  // for good; not_found when it was rolled back in between

  Json to_json() const;  // how it stands, for people

 private:
  using Steady = std::chrono::steady_clock;
  Rollout(RolloutPlan plan, Router& router) : plan_(plan), router_(router) {}
  void keep_looking();

  const RolloutPlan plan_;
  Router& router_;
  std::shared_ptr<const Release> candidate_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false, shifted_ = false, done_ = false;
  std::optional<std::string> reason_;
  Steady::time_point since_ = Steady::now();  // of the present step
  std::thread thread_;
};

}  // namespace redoubt::gateway
