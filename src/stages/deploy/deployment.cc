// SPDX-License-Identifier: Apache-2.0
#include "stages/deploy/deployment.h"

#include <algorithm>
#include <array>
#include <map>

namespace redoubt::stages::deploy {
namespace {

using governance::DeployStep;

// All deploy statements of an environment, oldest first.
Result<std::vector<CurrentDeployment>> deployments(ledger::EvidenceLog& evidence, const std::string& environment) {
  std::vector<CurrentDeployment> found;
  for (const auto& entry : TRY(evidence.of_step(DeployStep::kName))) {
    auto record = TRY(attest::to_step_record(entry.statement));
    if (json_or(record.result, "environment", "") == environment) found.push_back({entry.digest, std::move(record)});
  }
  return found;
}

// What was last decided of the deployments that were tried, by their statements.
Result<std::map<std::string, std::string>> rollout_actions(ledger::EvidenceLog& evidence) {
  std::map<std::string, std::string> actions;
  for (const auto& entry : TRY(evidence.of_step(governance::kRolloutEvent))) {
    const auto record = TRY(attest::to_step_record(entry.statement));
    const auto deployment = TRY(json_string(record.result, "deployment", "rollout event"));
    actions[deployment] = TRY(json_string(record.result, "action", "rollout event"));
  }
  return actions;
}

// Of an environment's deployments that were not turned back, oldest first, and which of them are tried still.
struct Placement {
  CurrentDeployment deployment;
  bool is_tried = false;
};

Result<std::vector<Placement>> placements(ledger::EvidenceLog& evidence, const std::string& environment) {
  const auto actions = TRY(rollout_actions(evidence));
  std::vector<Placement> found;
  bool stands = false;
  for (auto& one : TRY(deployments(evidence, environment))) {
    const auto action = actions.find(one.statement.tagged());
    const auto decided = action == actions.end() ? "" : action->second;
    if (decided == to_string(RolloutAction::rolled_back)) continue;
    const bool is_tried = stands && one.record.parameters.contains("rollout") && decided != to_string(RolloutAction::promoted);
    stands |= !is_tried;
    found.push_back({std::move(one), is_tried});
  }
  return found;
}

bool is_same(const CurrentDeployment& deployment, const Json& parameters, const AdmittedRelease& release) {
  Json before = deployment.record.parameters;
  before.erase("rollout");  // how it came into service says nothing of what serves
  return before == parameters && deployment.record.inputs.at("statement:review") == release.review_statement() && deployment.record.inputs.at("release") == release.release();
}

// A plan where there is something to try it beside.
Result<Json> plan_beside(const std::optional<CurrentDeployment>& current, const AdmittedRelease& release, const Json& plan) {
  if (plan.is_null() || !current) return Json();
  if (current->name() == release.name() && current->version() != release.version()) return plan;
  return fail(ErrorCode::invalid_argument, "a version is tried beside another version of the same model; what stands is " + current->name() + "/" + current->version(), release.name() + "/" + release.version(),
              "deploy it at once");
}

std::string environment_of(const CurrentDeployment& deployment) { return json_or(deployment.record.result, "environment", ""); }

// Whether a version serves, or is tried, in another environment than that of this deployment.
Result<bool> stands_elsewhere(ledger::EvidenceLog& evidence, const CurrentDeployment& deployment) {
  std::set<std::string> environments;
  for (const auto& entry : TRY(evidence.of_step(DeployStep::kName))) environments.insert(json_or(TRY(attest::to_step_record(entry.statement)).result, "environment", ""));
  environments.erase(environment_of(deployment));
  for (const auto& environment : environments) {
    const auto standing = TRY(standing_of(evidence, environment));
    for (const auto* one : {&standing.current, &standing.candidate})
      if (*one && (*one)->name() == deployment.name() && (*one)->version() == deployment.version()) return true;
  }
  return false;
}

// The version whose place is taken; "" when it is the same one, still stands elsewhere or may not go back to Approved.
Result<std::string> replaced_version(ledger::EvidenceLog& evidence, const std::optional<CurrentDeployment>& current, const AdmittedRelease& release,
                                     provider::ModelRegistry& registry) {
  if (!current || (current->name() == release.name() && current->version() == release.version())) return std::string();
  const auto before = TRY(registry.get(current->name(), current->version()));
  if (before.state != provider::VersionState::deployed || before.name != release.name() || TRY(stands_elsewhere(evidence, *current))) return std::string();
  return before.version;
}

}  // namespace

Result<Standing> standing_of(ledger::EvidenceLog& evidence, const std::string& environment) {
  Standing standing;
  for (auto& [deployment, is_tried] : TRY(placements(evidence, environment))) {
    if (!is_tried) standing.candidate.reset();
    (is_tried ? standing.candidate : standing.current) = std::move(deployment);
  }
  return standing;
}

Result<std::optional<CurrentDeployment>> current_deployment(ledger::EvidenceLog& evidence, const std::string& environment) {
  return std::move(TRY(standing_of(evidence, environment)).current);
}

Result<std::set<std::string>> environments_of(ledger::EvidenceLog& evidence, const Digest& release, const Digest& image) {
  const auto actions = TRY(rollout_actions(evidence));
  std::set<std::string> environments;
  for (const auto& entry : TRY(evidence.of_step(DeployStep::kName))) {
    const auto record = TRY(attest::to_step_record(entry.statement));
    if (record.inputs.at("release") != release || record.inputs.at("image") != image) continue;
    const auto action = actions.find(entry.digest.tagged());
    const bool has_served = record.parameters.contains("rollout") ? action != actions.end() && action->second == to_string(RolloutAction::promoted) : true;
    if (has_served) environments.insert(json_or(record.result, "environment", ""));
  }
  return environments;
}

const char* to_string(RolloutAction action) {
  constexpr std::array kNames = {"shifted", "promoted", "rolled_back"};
  return kNames[static_cast<std::size_t>(action)];
}

Result<Json> rollout_event(ledger::EvidenceLog& evidence, const CurrentDeployment& candidate, const CurrentDeployment& current, RolloutAction action, const std::string& reason, provider::ModelRegistry& registry) {
  const auto state_of = [&](const CurrentDeployment& one) -> Result<provider::VersionState> { return TRY(registry.get(one.name(), one.version())).state; };
  const auto tried = TRY(state_of(candidate)), stood = TRY(state_of(current));
  const bool is_promoted = action == RolloutAction::promoted, is_back = action == RolloutAction::rolled_back;
  std::string left, stands;
  if (is_promoted && stood == provider::VersionState::deployed && !TRY(stands_elsewhere(evidence, current))) left = current.version();
  if (is_back && tried == provider::VersionState::deployed && !TRY(stands_elsewhere(evidence, candidate))) left = candidate.version();
  if (is_back && stood == provider::VersionState::approved) stands = current.version();  // where it had been promoted by then
  return Json{{"environment", environment_of(candidate)}, {"deployment", candidate.statement.tagged()}, {"name", candidate.name()}, {"version", candidate.version()},
              {"action", to_string(action)}, {"reason", reason}, {"from", current.version()}, {"left", left}, {"stands", stands}};
}

Result<bool> is_revoked(ledger::EvidenceLog& evidence, const CurrentDeployment& deployment) {
  bool revoked = false;
  for (const auto& entry : TRY(evidence.of_step(governance::ReviewStep::kName))) {
    const auto record = TRY(attest::to_step_record(entry.statement));
    const Json& result = record.result;
    if (TRY(json_string(result, "name", "review statement")) != deployment.name() || TRY(json_string(result, "version", "review statement")) != deployment.version()) continue;
    revoked = TRY(json_string(result, "decision", "review statement")) == "revoke";
  }
  return revoked;
}

Result<std::optional<CurrentDeployment>> previous_deployment(ledger::EvidenceLog& evidence, const std::string& environment) {
  const auto found = TRY(placements(evidence, environment));
  const auto current = std::find_if(found.rbegin(), found.rend(), [](const auto& one) { return !one.is_tried; });
  if (current == found.rend()) return std::optional<CurrentDeployment>();
  for (auto at = std::next(current); at != found.rend(); ++at) {
    if (at->deployment.name() == current->deployment.name() && at->deployment.version() == current->deployment.version()) continue;
    if (!TRY(is_revoked(evidence, at->deployment))) return std::optional(at->deployment);
  }
  return std::optional<CurrentDeployment>();
}

Result<governance::Deployment> record_deployment(const AdmittedRelease& release, const DeploymentOptions& options,
                                                 ledger::EvidenceLog& evidence, provider::ModelRegistry& registry,
                                                 governance::StepRecorder& recorder) {
  const auto standing = TRY(standing_of(evidence, release.environment()));
  const auto& current = standing.current;
  Json parameters = {{"environment", release.environment()}, {"endpoint", options.endpoint}};
  for (const auto* one : {&standing.candidate, &current})
    if (*one && is_same(**one, parameters, release)) return recorder.load<DeployStep>((*one)->statement);
  if (const auto& tried = standing.candidate)
    return fail(ErrorCode::already_exists, "another version is being rolled out in " + release.environment(), tried->name() + "/" + tried->version(), "end that first: redoubt rollback, or redoubt rollout finish");
  const Json plan = TRY(plan_beside(current, release, options.rollout));
  if (!plan.is_null()) parameters["rollout"] = plan;
  governance::StepPlan step;
  step.inputs = {{"statement:review", release.review_statement()}, {"release", release.release()}, {"image", release.image()},
                 {"training_data", release.training_data()}};
  // These make each decision one of its own: what was rolled back may be tried again.
  if (current) step.inputs["statement:deploy"] = current->statement;
  if (const auto tries = TRY(evidence.of_step(governance::kRolloutEvent)); !tries.empty()) step.inputs["statement:rollout"] = tries.back().digest;
  if (options.promoted_from) step.inputs["statement:promoted"] = *options.promoted_from;
  step.parameters = parameters;
  // Both are deployed while one is tried.
  const std::string previous = plan.is_null() ? TRY(replaced_version(evidence, current, release, registry)) : std::string();
  return recorder.run<DeployStep>(step, [&]() -> Result<governance::StepProduct> {
    Json result = {{"name", release.name()}, {"version", release.version()}, {"environment", release.environment()}, {"previous", previous}, {"rollback", options.rollback}};
    result.update(release.evidence());
    return governance::StepProduct{{}, std::move(result)};
  });
}

}  // namespace redoubt::stages::deploy
