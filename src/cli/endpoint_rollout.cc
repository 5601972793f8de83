// SPDX-License-Identifier: Apache-2.0
#include "cli/endpoint_rollout.h"

#include "base/log.h"
#include "cli/endpoint_parts.h"

namespace redoubt::cli {
namespace {

using stages::deploy::RolloutAction;

constexpr auto kRecordAgain = std::chrono::seconds(2);

Result<std::unique_ptr<gateway::Rollout>> start_trial(Session& session, std::shared_ptr<http::Reactor> reactor, gateway::Router& router, const stages::deploy::CurrentDeployment& candidate) {
  const auto& parameters = candidate.record.parameters;
  auto plan = TRY(gateway::RolloutPlan::from_json(TRY(json_object(parameters, "rollout", "deploy statement"))));
  const auto watch = TRY(pipeline::WatchOptions::from_json(parameters["endpoint"]["watch"]));
  if (plan.latency_p99_ms_max == 0) plan.latency_p99_ms_max = watch.latency_p99_ms_max;
  auto release = TRY(start_release(session, std::move(reactor), candidate, TRY(pipeline::DeployOptions::from_json(parameters["endpoint"]["serve"]))));
  return gateway::Rollout::begin(plan, router, std::move(release));
}

}  // namespace

Result<std::unique_ptr<EndpointRollout>> EndpointRollout::begin(Session& session, std::shared_ptr<http::Reactor> reactor, gateway::Router& router, const stages::deploy::Standing& standing) {
  std::unique_ptr<EndpointRollout> trial(new EndpointRollout(session, *standing.candidate, *standing.current));
  auto started = start_trial(session, std::move(reactor), router, *standing.candidate);
  if (!started) {
    trial->record(RolloutAction::rolled_back, "it did not start");
    return fail(started.error());
  }
  trial->rollout_ = std::move(*started);
  return trial;
}

bool EndpointRollout::record(RolloutAction action, const std::string& reason) {
  if (std::chrono::steady_clock::now() < next_record_) return false;
  const auto recorded = record_rollout(session_, candidate_, current_, action, reason);
  if (recorded) return true;
  next_record_ = std::chrono::steady_clock::now() + kRecordAgain;
  spdlog::error("cannot record that {}/{} is {}, which is tried again: {} ({})", candidate_.name(), candidate_.version(), to_string(action), recorded.error().message, recorded.error().where);
  return false;
}

EndpointRollout::State EndpointRollout::step() {
  if (const auto why = rollout_->rolled_back()) return record(RolloutAction::rolled_back, *why) ? State::rolled_back : State::going;
  switch (rollout_->due()) {
    case gateway::Rollout::Due::nothing: break;
    case gateway::Rollout::Due::shift:
      if (record(RolloutAction::shifted, "")) rollout_->shift();
      break;
    case gateway::Rollout::Due::promote:
      // An alarm may have been quicker: then the next step records that.
      if (record(RolloutAction::promoted, "") && rollout_->promote()) return State::promoted;
      break;
  }
  return State::going;
}

Status EndpointRollout::follow(State decided) {
  if (decided == State::promoted) return rollout_->promote();
  rollout_->roll_back("by command");
  return {};
}

}  // namespace redoubt::cli
