// SPDX-License-Identifier: Apache-2.0
//
// What serving a model with given options takes, told from its configuration and the size of its weights: before anything is recorded or
// started.
#pragma once

#include "vault/artifact_store.h"

namespace redoubt::stages::deploy {

struct ServingOptions {
  std::int64_t slots = 8;
  std::int64_t context = 0;              // 0: what the model has
  std::uint64_t memory_bytes_max = 0;    // that a worker may take; 0: not known here
};

// invalid_argument when the model's context is shorter than asked for; limit_exceeded, with the bytes, when the weights and the slots' keys
// and values cannot fit. The engine itself counts again what else there is. `folder` is the model's within the artifact: "" or "base/".
Status check_serving(vault::ArtifactStore& store, const Digest& artifact, const std::string& folder, const ServingOptions& options);

}  // namespace redoubt::stages::deploy
