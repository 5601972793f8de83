// SPDX-License-Identifier: Apache-2.0
#include "engine/model/head_loss.h"

#include <cmath>
#include <cstddef>
#include <optional>
#include <vector>

#include "engine/model/layer_math.h"
#include "engine/model/panel_products.h"
#include "engine/model/tasks.h"

namespace redoubt::engine::model {
namespace {

constexpr std::int64_t kSlice = 256;  // rows whose logits are in memory at once

// Losses of one slice; with a scale, the logits become their gradient. `cap` is that of the logits, 0 for none.
template <class T>
void slice_loss(at::Tensor& logits, const std::int64_t* targets, float cap, float scale, float* losses, bool* correct) {
  const std::int64_t n = logits.size(1), stride = logits.stride(0);
  T* values = logits.mutable_data_ptr<T>();
  at::parallel_for(0, logits.size(0), 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> wide(static_cast<std::size_t>(n)), capped;
    for (std::int64_t r = begin; r < end; ++r) {
      row::load(values + r * stride, wide.data(), n);
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
      row::multiply_by(wide.data(), scale, n);
      if (cap > 0) row::soft_cap_backward(capped.data(), cap, wide.data(), n);
      row::store(wide.data(), values + r * stride, n);
    }
  });
}

// What a run of outputs makes of a row: of all of them the loss follows, and no row's logits ever lie in memory at once.
struct RowOutputs {
  row::RunningSum sum;
  std::int64_t likeliest = 0;
  float target = 0;
};

// The losses of rows [count, hidden] behind the final norm, over a head in panels.
class PackedHeadLoss {
 public:
  PackedHeadLoss(const PackedMatrix& head, float cap) : head_(head), cap_(cap), runs_((head.outputs() + kRun - 1) / kRun) {}

  void compute(const at::Tensor& normed, const std::int64_t* targets, float* losses, bool* correct) {
    const std::int64_t rows = normed.size(0);
    prepare(normed);
    parts_.assign(static_cast<std::size_t>(runs_ * rows), {});
    for_each_task(runs_, [&](std::int64_t run) { outputs_of(run, rows, targets, parts_.data() + run * rows); });
    for (std::int64_t r = 0; r < rows; ++r) {
      RowOutputs whole;
      for (std::int64_t run = 0; run < runs_; ++run) {
        const auto& part = parts_[static_cast<std::size_t>(run * rows + r)];
        if (part.sum.max > whole.sum.max) whole.likeliest = part.likeliest;
        whole.sum.add(part.sum);
        if (targets[r] / kRun == run) whole.target = part.target;
      }
      losses[r] = whole.sum.max + std::log(whole.sum.sum) - whole.target;
      correct[r] = whole.likeliest == targets[r];
    }
  }

 private:
  static constexpr std::int64_t kRun = 1024;  // outputs of one task, whatever the machine has: so are a row's sums formed alike everywhere
  static constexpr std::int64_t kAtOnce = 4 * row::kPanel;  // of which the panels, and the logits of some rows, lie in the cache

  void prepare(const at::Tensor& normed) {
    const std::int64_t n = normed.size(1);
    prepared_.resize(static_cast<std::size_t>(normed.size(0)) * head_.prepared_bytes());
    with_type_of(normed, [&](auto type) {
      const auto* from = normed.const_data_ptr<decltype(type)>();
      std::vector<float> wide(static_cast<std::size_t>(n));
      for (std::int64_t r = 0; r < normed.size(0); ++r) {
        row::load(from + r * n, wide.data(), n);
        head_.prepare(wide.data(), prepared_.data() + static_cast<std::size_t>(r) * head_.prepared_bytes());
      }
    });
  }

  void outputs_of(std::int64_t run, std::int64_t rows, const std::int64_t* targets, RowOutputs* to) const {
    std::vector<float> logits(static_cast<std::size_t>(rows * kAtOnce));
    for (std::int64_t begin = run * kRun, last = std::min(begin + kRun, head_.outputs()); begin < last; begin += kAtOnce) {
      const std::int64_t end = std::min(begin + kAtOnce, last);
      head_.multiply(prepared_.data(), rows, begin, end, logits.data(), kAtOnce);
      for (std::int64_t r = 0; r < rows; ++r) {
        float* of_row = logits.data() + r * kAtOnce;
        if (cap_ > 0) row::soft_cap(of_row, 1, cap_, end - begin);
        if (row::add_exponentials(of_row, end - begin, to[r].sum)) to[r].likeliest = begin + row::argmax(of_row, end - begin);
        if (targets[r] >= begin && targets[r] < end) to[r].target = of_row[targets[r] - begin];
      }
    }
  }

  const PackedMatrix& head_;
  const float cap_;
  const std::int64_t runs_;
  std::vector<std::byte> prepared_;
  std::vector<RowOutputs> parts_;  // [runs][rows]
};

// The matrix whole, where it is multiplied as such: on the way back, and where the head is laid out in no other way.
at::Tensor whole_head(const Weights& weights, at::ScalarType type, bool back) {
  if (back) return weights.head_matrix(type);
  return weights.packed_head.defined() || weights.quantised_head.defined() ? at::Tensor() : weights.head;
}

}  // namespace

HeadLoss head_loss(const CausalModel& base, const at::Tensor& residual, const at::Tensor& targets, float gradient_scale) {
  c10::InferenceMode guard;
  const auto& weights = base.weights();
  const double epsilon = base.config().norm_epsilon;
  const auto cap = static_cast<float>(base.config().logit_softcap);
  const std::int64_t rows = residual.size(0);
  std::optional<PackedHeadLoss> packed;
  if (gradient_scale == 0 && weights.packed_head.defined()) packed.emplace(weights.packed_head, cap);
  const auto computed = product_type(residual);
  const auto head = whole_head(weights, computed, gradient_scale != 0);
  const bool by_panels = head.defined() && multiplies_by_panels(head);
  HeadLoss out{at::empty({rows}, at::kFloat), at::empty({rows}, at::kBool), {}};
  if (gradient_scale != 0) out.gradient = at::zeros_like(residual);
  for (std::int64_t begin = 0; begin < rows; begin += kSlice) {
    const std::int64_t size = std::min(kSlice, rows - begin);
    const auto slice = residual.narrow(0, begin, size);
    const auto normed = normalise(slice, weights.final_norm, epsilon);
    if (packed) {
      packed->compute(normed, targets.const_data_ptr<std::int64_t>() + begin, out.losses.mutable_data_ptr<float>() + begin, out.correct.mutable_data_ptr<bool>() + begin);
      continue;
    }
    auto logits = by_panels ? multiply_by_panels(normed, head) : gradient_scale != 0 ? at::linear(normed.to(computed), head) : base.apply_head(normed);
    with_type_of(logits, [&](auto type) {
      slice_loss<decltype(type)>(logits, targets.const_data_ptr<std::int64_t>() + begin, cap, gradient_scale,
                                 out.losses.mutable_data_ptr<float>() + begin, out.correct.mutable_data_ptr<bool>() + begin);
    });
    if (gradient_scale == 0) continue;
    auto dresidual = out.gradient.narrow(0, begin, size);
    normalise_backward(slice, weights.final_norm, epsilon, by_panels ? multiply_back_by_panels(logits, head) : at::mm(logits, head).to(residual.scalar_type()), dresidual);
  }
  return out;
}

}  // namespace redoubt::engine::model
