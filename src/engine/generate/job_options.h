// SPDX-License-Identifier: Apache-2.0
//
// Hyperparameters that every entry point with a model to run understands.
#pragma once

#include "engine/job/job.h"
#include "engine/model/causal_model.h"

namespace redoubt::engine::generate {

// `dtype` and `weights`.
struct ModelOptions {
  model::Precision precision = model::Precision::bf16;
  model::WeightFormat weights = model::WeightFormat::as_loaded;
};
Result<ModelOptions> model_options(const job::Hyperparameters& values);
// Sets libtorch's threads by `threads`; 0 means every core this process may use.
Status use_threads(const job::Hyperparameters& values);

}  // namespace redoubt::engine::generate
