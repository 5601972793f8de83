// SPDX-License-Identifier: Apache-2.0
//
// Step 1: a model from a hub into the vault. The revision is pinned to a commit; files that are not wanted are refused by name
// before a byte of them is asked for; what comes is sealed as it comes, checked against the hub's size and digest, and
// scanned; only then is it an artifact.
#pragma once

#include "attest/signer_policy.h"
#include "base/progress.h"
#include "governance/recorder.h"
#include "stages/acquire/hub_client.h"
#include "vault/artifact_store.h"

namespace redoubt::stages::acquire {

struct AcquireOptions {
  HubOptions hub;
  std::string repository, revision = "main";
  std::uint64_t bytes_max = 256ull << 30;  // of all files together
  std::optional<attest::SignerPolicy> signers = {};  // whose signature (model.sig) the model has to carry; none: nobody's
  TimePoint now{};                                   // when a signer's certificate has to be valid
};

struct AcquireDeps {
  vault::ArtifactStore& store;
  governance::StepRecorder& recorder;
  Progress& progress;
};

// Outputs: model. Result: repository, commit, files, bytes, and with a policy of signers who signed (signature). invalid_argument for a name that is none, permission_denied for a
// wrong token, not_found for an unknown model, gate_refused for files that are not admitted or too much of them, and for a model that
// nobody signed whom the policy accepts; tampered for a size or a digest that differs from the hub's or the signer's. A download that breaks off goes on in the next call.
Result<governance::AcquiredModel> acquire(const AcquireOptions& options, AcquireDeps& deps);

}  // namespace redoubt::stages::acquire
