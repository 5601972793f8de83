// SPDX-License-Identifier: Apache-2.0
//
// The backward pass, written by hand: gradients of the adapter only, none of the frozen weights, none into the first
// layer's input. train_test.cc checks it against libtorch's autograd.
#pragma once

#include <functional>
#include <span>

#include "engine/evaluate/answer_batch.h"

namespace redoubt::engine::train {

struct BatchLoss {
  double nats = 0;  // summed over the answer tokens
  std::int64_t answers = 0;
  std::vector<double> by_example;  // nats of each example
};

// How much each example counts. Either all alike, or as `by_example` says once the nats of all examples of the pass are known:
// the slopes of a loss that is made of them.
struct Weighting {
  double scale = 1;
  std::function<std::vector<double>(std::span<const double> nats)> by_example = {};
};
BatchLoss sum_losses(const evaluate::AnswerBatch& batch, const at::Tensor& losses);
// For each answer row what its example counts, fp32.
at::Tensor weights_of_rows(const evaluate::AnswerBatch& batch, const Weighting& weighting, const at::Tensor& losses);

// Forward and backward of `examples`. Adds the gradient of their summed nats, weighted, to `gradient`, which is shaped like adapter.values();
// `working` is what adapter.write_working wrote. Examples of more rows than `keep_rows_max` in all keep only the layers'
// inputs and compute each layer a second time on the way back.
BatchLoss add_gradient(const model::CausalModel& base, const model::Adapter& adapter, const model::LoraWeights& working,
                       std::span<const data::Example* const> examples, const Weighting& weighting, std::int64_t keep_rows_max,
                       at::Tensor& gradient);

}  // namespace redoubt::engine::train
