// SPDX-License-Identifier: Apache-2.0
//
// The engine's `evaluate`: channels model, adapter (optional) and eval in; evaluation.json, per_example.jsonl and
// generations.jsonl out.
#pragma once

#include <filesystem>

#include "base/result.h"

namespace redoubt::engine::evaluate {

// Runs the job below `root`. A failure is also written to ROOT/output/failure.
Status run_evaluate(const std::filesystem::path& root);

}  // namespace redoubt::engine::evaluate
