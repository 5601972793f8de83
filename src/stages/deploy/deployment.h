// SPDX-License-Identifier: Apache-2.0
//
// Step 7, second half: the decision that an admitted release is what an environment serves. Endpoint processes follow the
// newest deploy statement of their environment and nothing else.
#pragma once

#include <optional>
#include <set>

#include "stages/deploy/admission.h"

namespace redoubt::stages::deploy {

struct CurrentDeployment {
  Digest statement;
  attest::StepRecord record;  // result: name, version, environment, previous, rollback, and AdmittedRelease::evidence

  std::string name() const { return record.result.value("name", ""); }
  std::string version() const { return record.result.value("version", ""); }
};

// What an environment serves: the deployment that stands, and one that is tried beside it: a deploy statement with a rollout plan, until an
// event says that it was promoted or rolled back.
struct Standing {
  std::optional<CurrentDeployment> current, candidate;
};
Result<Standing> standing_of(ledger::EvidenceLog& evidence, const std::string& environment);

// The deployment that stands; nothing where there is none.
Result<std::optional<CurrentDeployment>> current_deployment(ledger::EvidenceLog& evidence, const std::string& environment);
// The newest version that the environment served before its present one and that was not revoked since, for a rollback;
// nothing where there is none.
Result<std::optional<CurrentDeployment>> previous_deployment(ledger::EvidenceLog& evidence, const std::string& environment);

// Environments where these bytes have served, run by this image: not those where they were only tried.
Result<std::set<std::string>> environments_of(ledger::EvidenceLog& evidence, const Digest& release, const Digest& image);

// Whether the deployed version's approval was withdrawn: then nobody may serve it any longer.
Result<bool> is_revoked(ledger::EvidenceLog& evidence, const CurrentDeployment& deployment);

struct DeploymentOptions {
  Json endpoint = Json::object();  // how to serve: host, port, names, limits, capture, watch
  bool rollback = false;
  std::optional<Digest> promoted_from = std::nullopt;  // the statement of another environment that serves these very bytes
  Json rollout = nullptr;  // the plan by which it comes into service beside what stands (gateway/rollout.h); null: at once
};

enum class RolloutAction { shifted, promoted, rolled_back };
const char* to_string(RolloutAction action);
// The result of the event that says how the candidate goes on: {environment, deployment, name, version, action, reason, from, left, stands};
// `left` and `stands` are versions whose state in the registry changes by it, or "". Nothing may be recorded without a candidate.
Result<Json> rollout_event(ledger::EvidenceLog& evidence, const CurrentDeployment& candidate, const CurrentDeployment& current, RolloutAction action, const std::string& reason, provider::ModelRegistry& registry);

// Records the decision, or answers the present one (or the candidate) when it is the same release, review and endpoint. already_exists while
// another deployment is tried; a plan counts only where a version of the same name stands, and is left out where nothing does.
Result<governance::Deployment> record_deployment(const AdmittedRelease& release, const DeploymentOptions& options,
                                                 ledger::EvidenceLog& evidence, provider::ModelRegistry& registry,
                                                 governance::StepRecorder& recorder);

}  // namespace redoubt::stages::deploy
