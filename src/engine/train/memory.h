// SPDX-License-Identifier: Apache-2.0
//
// What a training run will need at its peak, worked out from the model and the options before it starts, and what the
// machine gives.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "engine/model/config.h"
#include "engine/train/options.h"

namespace redoubt::engine::train {

struct MemoryPlan {
  std::uint64_t weights = 0;      // the base, in its dtype or rounded
  std::uint64_t values = 0;       // what is trained: masters, gradient, AdamW's moments, working copy, the best so far
  std::uint64_t activations = 0;  // of one pass, forward and back
  std::uint64_t head = 0;         // logits of a slice and the gradient of the residual stream
  std::uint64_t program = 0;      // libraries, tokenizer, examples

  std::uint64_t total() const { return weights + values + activations + head + program; }
};

struct PassSize {
  std::int64_t rows = 0;     // of the largest pass
  std::int64_t longest = 0;  // tokens of the longest example
  std::int64_t tokens = 0;   // of all examples
  std::int64_t met = 0;      // tokens of the examples of the largest pass, each with what it shares
};

// Bytes for each process.
MemoryPlan plan_memory(const model::Config& config, const TrainOptions& options, std::int64_t trained_values,
                       const PassSize& size);

// The least of what confines this process: its cgroup, its resource limits, the memory that the machine has free for it; and
// which it was. Nothing where none can be read.
struct MemoryLimit {
  std::uint64_t bytes = 0;
  std::string source;
};
std::optional<MemoryLimit> memory_limit();

// limit_exceeded with the numbers and the cure when `plan`, times `processes`, is more than `limit`. What the process holds
// already counts to the plan.
Status check_memory(const MemoryPlan& plan, std::size_t processes, const std::optional<MemoryLimit>& limit);

}  // namespace redoubt::engine::train
