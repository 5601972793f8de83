// SPDX-License-Identifier: Apache-2.0
//
// The backward pass of full fine-tuning, written by hand: the gradients of every weight, embeddings and norms included.
#pragma once

#include <span>

#include "engine/train/backward.h"
#include "engine/train/full_weights.h"

namespace redoubt::engine::train {

// As add_gradient for an adapter; `gradient` is shaped like weights.values().
BatchLoss add_full_gradient(const model::CausalModel& base, const FullWeights& weights,
                            std::span<const data::Example* const> examples, const Weighting& weighting, std::int64_t keep_rows_max,
                            at::Tensor& gradient);

}  // namespace redoubt::engine::train
