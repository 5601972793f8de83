// SPDX-License-Identifier: Apache-2.0
//
// The engine's `train`: channels model, train and eval (optional) in; a PEFT adapter in ROOT/model and metrics.jsonl out.
#pragma once

#include <filesystem>

#include "base/result.h"

namespace redoubt::engine::train {

// Runs the job below `root`, going on from ROOT/checkpoints. A failure is also written to ROOT/output/failure.
Status run_train(const std::filesystem::path& root);

}  // namespace redoubt::engine::train
