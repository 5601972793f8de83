// SPDX-License-Identifier: Apache-2.0
#include "engine/model/head_loss.h"

#include "engine/model/layer_math.h"

namespace redoubt::engine::model {
namespace {

constexpr std::int64_t kSlice = 256;  // rows whose logits are in memory at once

// Losses of one slice; with a scale, the logits become their gradient. `cap` is that of the logits, 0 for none.
template <class T>
void slice_loss(at::Tensor& logits, const std::int64_t* targets, float cap, float scale, float* losses, bool* correct) {
  const std::int64_t n = logits.size(1);
  T* values = logits.mutable_data_ptr<T>();
  at::parallel_for(0, logits.size(0), 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> wide(static_cast<std::size_t>(n)), capped;
    for (std::int64_t r = begin; r < end; ++r) {
      row::load(values + r * n, wide.data(), n);
      if (cap > 0) {
        row::soft_cap(wide.data(), 1, cap, n);
        capped = wide;
      }
      const float target = wide[static_cast<std::size_t>(targets[r])];
      const auto normaliser = row::softmax(wide.data(), 1, n);
      losses[r] = normaliser.max + normaliser.log_sum - target;
      // Only a target that reaches the maximum can be the first to do so.
      correct[r] = target >= normaliser.max && row::argmax(wide.data(), n) == targets[r];
      if (scale == 0) continue;
      wide[static_cast<std::size_t>(targets[r])] -= 1;
      for (auto& value : wide) value *= scale;
      if (cap > 0) row::soft_cap_backward(capped.data(), cap, wide.data(), n);
      row::store(wide.data(), values + r * n, n);
    }
  });
}

}  // namespace

HeadLoss head_loss(const CausalModel& base, const at::Tensor& residual, const at::Tensor& targets, float gradient_scale) {
  c10::InferenceMode guard;
  const auto& weights = base.weights();
  const double epsilon = base.config().norm_epsilon;
  const auto cap = static_cast<float>(base.config().logit_softcap);
  const std::int64_t rows = residual.size(0);
  // The way back needs the matrix whole.
  const auto head = gradient_scale != 0 ? weights.head_matrix(residual.scalar_type()) : at::Tensor();
  HeadLoss out{at::empty({rows}, at::kFloat), at::empty({rows}, at::kBool), {}};
  if (gradient_scale != 0) out.gradient = at::zeros_like(residual);
  for (std::int64_t begin = 0; begin < rows; begin += kSlice) {
    const std::int64_t size = std::min(kSlice, rows - begin);
    const auto slice = residual.narrow(0, begin, size);
    const auto normed = normalise(slice, weights.final_norm, epsilon);
    auto logits = head.defined() ? at::linear(normed, head) : base.apply_head(normed);
    with_type_of(logits, [&](auto type) {
      slice_loss<decltype(type)>(logits, targets.const_data_ptr<std::int64_t>() + begin, cap, gradient_scale,
                                 out.losses.mutable_data_ptr<float>() + begin, out.correct.mutable_data_ptr<bool>() + begin);
    });
    if (gradient_scale == 0) continue;
    auto dresidual = out.gradient.narrow(0, begin, size);
    normalise_backward(slice, weights.final_norm, epsilon, at::mm(logits, head), dresidual);
  }
  return out;
}

}  // namespace redoubt::engine::model
