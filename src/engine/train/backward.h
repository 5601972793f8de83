// SPDX-License-Identifier: Apache-2.0
//
// The backward pass, written by hand: gradients of the adapter only, none of the frozen weights, none into the first
// layer's input. train_test.cc checks it against libtorch's autograd.
#pragma once

#include <span>

#include "engine/evaluate/answer_batch.h"

namespace redoubt::engine::train {

struct BatchLoss {
  double nats = 0;  // summed over the answer tokens
  std::int64_t answers = 0;
  std::vector<double> by_example;  // nats of each example
};

// Forward and backward of `examples`. Adds d(scale * summed nats) to `gradient`, which is shaped like adapter.values();
// `working` is what adapter.write_working wrote. Examples of more rows than `keep_rows_max` in all keep only the layers'
// inputs and compute each layer a second time on the way back.
BatchLoss add_gradient(const model::CausalModel& base, const model::Adapter& adapter, const model::LoraWeights& working,
                       std::span<const data::Example* const> examples, double scale, std::int64_t keep_rows_max,
                       at::Tensor& gradient);

}  // namespace redoubt::engine::train
