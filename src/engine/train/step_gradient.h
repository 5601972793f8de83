// SPDX-License-Identifier: Apache-2.0
//
// The gradient of one optimiser step. A step's examples are `micro_batches` batches of `batch_size`, which the ranks share
// out; each batch's gradient is computed by itself, and they are added in one fixed order (distributed::sum_halves). So a
// power of two of ranks gives the bits that one process gives for the same batches, and any number of them the same numbers
// within the order of float sums.
#pragma once

#include "engine/distributed/group.h"
#include "engine/train/backward.h"
#include "engine/train/options.h"

namespace redoubt::engine::train {

using Batch = std::vector<const data::Example*>;

struct StepLoss {
  double nats = 0;  // summed over the answer tokens of all ranks
  std::int64_t answers = 0;
};

class StepGradient {
 public:
  StepGradient(const model::CausalModel& base, const model::Adapter& adapter, const TrainOptions& options,
               distributed::Group& group)
      : base_(base), adapter_(adapter), options_(options), group_(group) {}

  // Batches of a step over all ranks, and examples in them.
  std::int64_t micro_batches() const;
  std::int64_t examples() const { return micro_batches() * options_.batch_size; }

  // Of the mean loss over the answer tokens of `step_examples`, those of all ranks; at the end of an epoch they may be fewer.
  // `gradient` has the same bits on every rank. invalid_argument names the example whose loss is no number.
  Result<StepLoss> compute(std::int64_t step, const Batch& step_examples, at::Tensor& gradient);

  // The adapter in working form without dropout, for evaluation.
  const model::LoraWeights& working();

 private:
  Status sum_batches(std::size_t begin, std::size_t end, at::Tensor& gradient);
  Status add_batch(std::size_t index, at::Tensor& gradient);

  const model::CausalModel& base_;
  const model::Adapter& adapter_;
  const TrainOptions& options_;
  distributed::Group& group_;
  model::LoraWeights working_;

  // Of the step that is computed.
  std::int64_t step_ = 0;
  std::span<const data::Example* const> examples_;
  double scale_ = 0;
  std::vector<double> nats_;  // by batch of this rank
};

// "step 7, line 3 of the training data", with the cure.
tl::unexpected<Error> diverged(const std::string& what, std::int64_t step, const std::string& where);

}  // namespace redoubt::engine::train
