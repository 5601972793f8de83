// SPDX-License-Identifier: Apache-2.0
//
// A deployment that the endpoint's process tries beside what it serves, by the plan of its statement. Each step is in the ledger: those
// forward before they are made, the one back as soon as it was.
#pragma once

#include <memory>

#include "cli/deploy_version.h"
#include "gateway/rollout.h"
#include "gateway/router.h"

namespace redoubt::cli {

class EndpointRollout {
 public:
  // Starts the candidate's workers and its trial. One that can't start is rolled back, in the ledger too. Session and router outlive it.
  static Result<std::unique_ptr<EndpointRollout>> begin(Session& session, std::shared_ptr<http::Reactor> reactor, gateway::Router& router, const stages::deploy::Standing& standing);

  const stages::deploy::CurrentDeployment& candidate() const { return candidate_; }
  Json to_json() const { return rollout_->to_json(); }
  // The traffic goes back now, and the ledger hears of it at the next step.
  void roll_back(const std::string& reason) { rollout_->roll_back(reason); }

  enum class State { going, promoted, rolled_back };
  // What the plan or an alarm wants by now. What can't be recorded is tried again.
  State step();
  // The ledger says already what became of it.
  Status follow(State decided);

 private:
  EndpointRollout(Session& session, stages::deploy::CurrentDeployment candidate, stages::deploy::CurrentDeployment current)
      : session_(session), candidate_(std::move(candidate)), current_(std::move(current)) {}
  bool record(stages::deploy::RolloutAction action, const std::string& reason);

  Session& session_;
  const stages::deploy::CurrentDeployment candidate_, current_;
  std::unique_ptr<gateway::Rollout> rollout_;
  std::chrono::steady_clock::time_point next_record_{};
};

}  // namespace redoubt::cli
