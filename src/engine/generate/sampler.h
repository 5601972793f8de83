// SPDX-License-Identifier: Apache-2.0
//
// Chooses the next token from logits. The same options and logits give the same tokens on every machine.
#pragma once

#include <cstdint>
#include <span>

#include "base/result.h"

namespace redoubt::engine::generate {

struct SamplingOptions {
  bool greedy = false;       // the likeliest token; the lowest id of equals
  double temperature = 1;    // 0 is greedy
  double top_p = 1;          // the likeliest tokens whose probabilities together reach this, in (0, 1]
  std::int64_t top_k = 0;    // only so many likeliest tokens; 0 is all
  std::uint64_t seed = 0;
};

// Errors are invalid_argument and name the field.
Status check_sampling(const SamplingOptions& options);

class Sampler {
 public:
  // `options` must have been checked.
  explicit Sampler(const SamplingOptions& options) : options_(options), state_(options.seed) {}

  // A logit that is not a number counts as impossible; `internal` when none is possible.
  Result<std::int32_t> choose(std::span<const float> logits);

 private:
  double next_uniform();  // in [0, 1)
  SamplingOptions options_;
  std::uint64_t state_;
};

}  // namespace redoubt::engine::generate
