// SPDX-License-Identifier: Apache-2.0
//
// Admission, the deploy statement and the endpoint's host, in this order: what `run`, `deploy` and `rollback` share.
#pragma once

#include "cli/session.h"
#include "pipeline/config.h"
#include "stages/deploy/deployment.h"

namespace redoubt::cli {

struct DeployTarget {
  std::string name, version;
  std::string environment;  // empty: the one that the version was registered for
  bool rollback = false;
  bool at_once = false;       // whatever plan of a rollout the version was registered with
  Json rollout = nullptr;     // a plan (gateway/rollout.h) instead of that one
  std::string promoted_from = {};  // an environment: what is deployed must be what stands there, byte for byte
};

struct Deployed {
  governance::Deployment deployment;
  provider::EndpointStatus status;
};

// Whether a model, in that folder of the artifact, can be served with these options where this workspace serves.
Status check_serving(Session& session, const Digest& artifact, const std::string& folder, const pipeline::DeployOptions& endpoint);

// The event that says how the candidate of an environment goes on: into the ledger, and its states into the registry. not_found without one.
Status record_rollout(Session& session, const std::string& environment, stages::deploy::RolloutAction action, const std::string& reason);
// The same, where the deployment is known that was tried, perhaps promoted since.
Status record_rollout(Session& session, const stages::deploy::CurrentDeployment& candidate, const stages::deploy::CurrentDeployment& current, stages::deploy::RolloutAction action,
                      const std::string& reason);

// Checks the whole workspace's evidence first: a changed ledger, registry, object or image is tampered, and nothing is deployed.
Result<Deployed> deploy_version(Session& session, const DeployTarget& target);

}  // namespace redoubt::cli
