// SPDX-License-Identifier: Apache-2.0
#include "stages/deploy/deployment.h"

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

// The version whose place is taken; "" when it is the same one or may not go back to Approved.
Result<std::string> replaced_version(const std::optional<CurrentDeployment>& current, const AdmittedRelease& release,
                                     provider::ModelRegistry& registry) {
  if (!current || (current->name() == release.name() && current->version() == release.version())) return std::string();
  const auto before = TRY(registry.get(current->name(), current->version()));
  return before.state == provider::VersionState::deployed && before.name == release.name() ? before.version : std::string();
}

}  // namespace

Result<std::optional<CurrentDeployment>> current_deployment(ledger::EvidenceLog& evidence, const std::string& environment) {
  auto found = TRY(deployments(evidence, environment));
  if (found.empty()) return std::optional<CurrentDeployment>();
  return std::optional(std::move(found.back()));
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
  const auto found = TRY(deployments(evidence, environment));
  for (auto at = found.rbegin(); at != found.rend(); ++at) {
    if (at->name() == found.back().name() && at->version() == found.back().version()) continue;
    if (!TRY(is_revoked(evidence, *at))) return std::optional(*at);
  }
  return std::optional<CurrentDeployment>();
}

Result<governance::Deployment> record_deployment(const AdmittedRelease& release, const DeploymentOptions& options,
                                                 ledger::EvidenceLog& evidence, provider::ModelRegistry& registry,
                                                 governance::StepRecorder& recorder) {
  const auto current = TRY(current_deployment(evidence, release.environment()));
  const Json parameters = {{"environment", release.environment()}, {"endpoint", options.endpoint}};
  if (current && current->record.parameters == parameters && current->record.inputs.at("statement:review") == release.review_statement() &&
      current->record.inputs.at("release") == release.release()) {
    return recorder.load<DeployStep>(current->statement);
  }
  governance::StepPlan plan;
  plan.inputs = {{"statement:review", release.review_statement()}, {"release", release.release()}, {"image", release.image()},
                 {"training_data", release.training_data()}};
  if (current) plan.inputs["statement:deploy"] = current->statement;  // makes each decision one of its own
  plan.parameters = parameters;
  const std::string previous = TRY(replaced_version(current, release, registry));
  return recorder.run<DeployStep>(plan, [&]() -> Result<governance::StepProduct> {
    Json result = {{"name", release.name()}, {"version", release.version()}, {"environment", release.environment()}, {"previous", previous}, {"rollback", options.rollback}};
    result.update(release.evidence());
    return governance::StepProduct{{}, std::move(result)};
  });
}

}  // namespace redoubt::stages::deploy
