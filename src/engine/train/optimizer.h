// SPDX-License-Identifier: Apache-2.0
//
// AdamW (arXiv 1711.05101) over one flat fp32 vector, gradient clipping and learning-rate schedules, with the arithmetic of
// torch.optim.AdamW and transformers.get_scheduler.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/torch.h"

namespace redoubt::engine::train {

struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double weight_decay = 0;
};

// Values [begin, end) of a vector.
struct Span {
  std::int64_t begin = 0, end = 0;
};

class AdamW {
 public:
  // Weight decay leaves `not_decayed`, in order, alone.
  AdamW(std::int64_t size, AdamWOptions options, std::vector<Span> not_decayed = {});
  // One step; counts itself.
  void step(at::Tensor& values, const at::Tensor& gradient, double learning_rate);

  // The state, for checkpoints.
  at::Tensor first_moment, second_moment;  // fp32 [size]
  std::int64_t steps = 0;

 private:
  AdamWOptions options_;
  std::vector<std::pair<Span, bool>> parts_;  // of all values, and whether each decays
};

// The Euclidean norm, summed in an order that does not depend on the number of threads.
double norm_of(const at::Tensor& gradient);
// Scales the gradient down to `norm_max` if `norm` is above it (torch.nn.utils.clip_grad_norm_).
void clip(at::Tensor& gradient, double norm, double norm_max);

enum class Schedule { constant, linear, cosine };
struct LearningRate {
  double peak = 2e-4;
  Schedule schedule = Schedule::linear;
  std::int64_t warmup_steps = 0, steps = 1;
  // For the step with this number, from 0.
  double at(std::int64_t step) const;
};

}  // namespace redoubt::engine::train
