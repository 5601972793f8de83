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
};

struct Deployed {
  governance::Deployment deployment;
  provider::EndpointStatus status;
};

// Whether a model, in that folder of the artifact, can be served with these options where this workspace serves.
Status check_serving(Session& session, const Digest& artifact, const std::string& folder, const pipeline::DeployOptions& endpoint);

// Checks the whole workspace's evidence first: a changed ledger, registry, object or image is tampered, and nothing is deployed.
Result<Deployed> deploy_version(Session& session, const DeployTarget& target);

}  // namespace redoubt::cli
