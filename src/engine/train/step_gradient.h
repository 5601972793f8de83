// SPDX-License-Identifier: Apache-2.0
//
// The gradient of one optimiser step. A step's examples are `micro_batches` batches of `batch_size`, which the ranks share
// out; each batch's gradient is computed by itself, and they are added in one fixed order (distributed::sum_halves). So a
// power of two of ranks gives the bits that one process gives for the same batches, and any number of them the same numbers
// within the order of float sums.
#pragma once

#include "engine/distributed/group.h"
#include "engine/train/preferences.h"
#include "engine/train/trainable.h"

namespace redoubt::engine::train {

using Batch = std::vector<const data::Example*>;

// Sums over all ranks.
struct StepLoss {
  double sum = 0;          // nats, over the answer tokens or the pairs
  std::int64_t count = 0;  // of these
  double margin = 0, preferred = 0;  // PreferenceLoss's
  double mean() const { return sum / static_cast<double>(count); }
};

// Attention keeps a gradient for each key that an example's rows meet, those of a shared beginning too: a pass has at most so many tokens for each of its
// rows, however many of them are shared.
inline constexpr std::int64_t kPassTokensOfRow = 16;

class StepGradient {
 public:
  StepGradient(Trainable& trainable, const TrainOptions& options, distributed::Group& group)
      : trainable_(trainable), options_(options), group_(group) {}

  // Batches of a step over all ranks, and examples in them.
  std::int64_t micro_batches() const;
  std::int64_t examples() const { return micro_batches() * options_.batch_size * options_.group_size(); }

  // Of the mean loss over the answer tokens (or the pairs) of `step_examples`, those of all ranks; at the end of an epoch
  // they may be fewer. `reference` is each example's nats in the reference model, for pairs. `gradient` has the same bits on
  // every rank. invalid_argument names the example whose loss is no number.
  Result<StepLoss> compute(std::int64_t step, const Batch& step_examples, std::span<const double> reference,
                           at::Tensor& gradient);

 private:
  Status sum_batches(std::size_t begin, std::size_t end, at::Tensor& gradient);
  Status add_batch(std::size_t index, at::Tensor& gradient);
  std::size_t end_of_pass(std::size_t begin, std::size_t last) const;

  // Of one batch of this rank; the ranks send each other these bytes.
  struct BatchSums {
    double nats = 0, margin = 0, preferred = 0;
  };
  Weighting weighting_of(std::size_t begin, std::size_t end, BatchSums& sums) const;

  Trainable& trainable_;
  const TrainOptions& options_;
  distributed::Group& group_;

  // Of the step that is computed.
  std::int64_t step_ = 0;
  std::span<const data::Example* const> examples_;
  std::span<const double> reference_;
  double scale_ = 0;
  std::vector<BatchSums> sums_;  // by batch of this rank
};

// "step 7, line 3 of the training data", with the cure.
tl::unexpected<Error> diverged(const std::string& what, std::int64_t step, const std::string& where);

}  // namespace redoubt::engine::train
