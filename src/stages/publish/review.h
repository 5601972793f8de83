// SPDX-License-Identifier: Apache-2.0
//
// Step 6: a person who has the role and did not run the pipeline approves, rejects or revokes a version, with a reason. The
// decision is signed with that person's own key.
#pragma once

#include "governance/recorder.h"
#include "provider/model_registry.h"

namespace redoubt::stages::publish {

enum class Decision { approve, reject, revoke };
const char* to_string(Decision decision);

struct ReviewOptions {
  std::string name, version;
  Decision decision = Decision::approve;
  std::string reason;  // 1 to 2000 bytes, without personal data
  // Where a decision was made first that this one signs: {"principal", "changed", "where"}; null for none.
  Json outside = {};
};

struct ReviewDeps {
  provider::ModelRegistry& registry;
  governance::StepRecorder& recorder;  // of the reviewer
};

// permission_denied for an identity that ran any step of the pipeline; gate_refused for a version in a state that the decision does not
// fit (a Rejected version can't be approved); not_found. The caller has checked the identity's role.
Result<governance::ApprovedVersion> review(const ReviewOptions& options, ReviewDeps& deps);

}  // namespace redoubt::stages::publish
