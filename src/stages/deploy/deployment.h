// SPDX-License-Identifier: Apache-2.0
//
// Step 7, second half: the decision that an admitted release is what an environment serves. Endpoint processes follow the
// newest deploy statement of their environment and nothing else.
#pragma once

#include <optional>

#include "stages/deploy/admission.h"

namespace redoubt::stages::deploy {

struct CurrentDeployment {
  Digest statement;
  attest::StepRecord record;  // result: name, version, environment, previous, rollback, and AdmittedRelease::evidence

  std::string name() const { return record.result.value("name", ""); }
  std::string version() const { return record.result.value("version", ""); }
};

// The newest deploy statement of an environment; nothing where there is none.
Result<std::optional<CurrentDeployment>> current_deployment(ledger::EvidenceLog& evidence, const std::string& environment);
// The newest version that the environment served before its present one and that was not revoked since, for a rollback;
// nothing where there is none.
Result<std::optional<CurrentDeployment>> previous_deployment(ledger::EvidenceLog& evidence, const std::string& environment);

// Whether the deployed version's approval was withdrawn: then nobody may serve it any longer.
Result<bool> is_revoked(ledger::EvidenceLog& evidence, const CurrentDeployment& deployment);

struct DeploymentOptions {
  Json endpoint = Json::object();  // how to serve: host, port, names, limits, capture, watch
  bool rollback = false;
};

// Records the decision, or answers the present one when it is the same release, review and endpoint.
Result<governance::Deployment> record_deployment(const AdmittedRelease& release, const DeploymentOptions& options,
                                                 ledger::EvidenceLog& evidence, provider::ModelRegistry& registry,
                                                 governance::StepRecorder& recorder);

}  // namespace redoubt::stages::deploy
