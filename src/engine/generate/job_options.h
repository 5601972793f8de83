// SPDX-License-Identifier: Apache-2.0
//
// Hyperparameters that every entry point with a model to run understands.
#pragma once

#include "engine/job/job.h"
#include "engine/model/causal_model.h"

namespace redoubt::engine::generate {

Result<model::Precision> precision_of(const job::Hyperparameters& values);  // `dtype`
// Sets libtorch's threads by `threads`; 0 means every core this process may use.
Status use_threads(const job::Hyperparameters& values);

}  // namespace redoubt::engine::generate
