// SPDX-License-Identifier: Apache-2.0
//
// The rules that the statements of one release obey, whoever made them: each step stands on the one before, the gate passed,
// and somebody who may review and did not run the pipeline approved.
#pragma once

#include <string>
#include <vector>

#include "attest/step_statement.h"
#include "base/problem.h"
#include "crypto/sign.h"

namespace redoubt::ledger {

inline constexpr const char* kReviewerRole = "reviewer";

// Somebody whose signatures count, as the ledger's keeper vouches for.
struct ReleaseIdentity {
  std::string name;
  std::vector<std::string> roles;       // as they were when the bundle was made
  std::vector<crypto::PublicKey> keys;  // Ed25519; the former ones too
};

// A verified statement and its place in the ledger.
struct ReleaseStep {
  std::uint64_t index = 0;
  Digest statement;
  attest::StepRecord record;
};

// Kinds: "chain" (a step is missing, or does not stand on the one before), "order", "gate", "review". Objects are the steps'
// names. Empty when the release is what it should be.
Problems check_release_chain(const std::vector<ReleaseStep>& steps, const std::vector<ReleaseIdentity>& identities);

}  // namespace redoubt::ledger
