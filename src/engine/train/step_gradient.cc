// SPDX-License-Identifier: Apache-2.0
#include "engine/train/step_gradient.h"

#include <cmath>
#include <cstring>

#include "engine/model/layer_math.h"

namespace redoubt::engine::train {

tl::unexpected<Error> diverged(const std::string& what, std::int64_t step, const std::string& where) {
  return fail(ErrorCode::invalid_argument, what, "step " + std::to_string(step + 1) + ", " + where,
              "lower learning_rate or look at that example; the last checkpoint is kept");
}

std::int64_t StepGradient::micro_batches() const {
  return options_.accumulation_steps * static_cast<std::int64_t>(group_.ranks());
}

const model::LoraWeights& StepGradient::working() {
  adapter_.write_working(working_, options_.precision);
  model::set_dropout(working_, 0, 0);
  return working_;
}

// Adds one batch's gradient, in as many passes as its rows need.
Status StepGradient::add_batch(std::size_t index, at::Tensor& gradient) {
  const auto size = static_cast<std::size_t>(options_.batch_size);
  const std::size_t first = std::min(examples_.size(), index * size), last = std::min(examples_.size(), first + size);
  const std::size_t own = index % static_cast<std::size_t>(options_.accumulation_steps);
  for (std::size_t begin = first, end = first; begin < last; begin = end) {
    const auto pass = static_cast<std::uint64_t>(step_) << 32 | begin;
    model::set_dropout(working_, options_.lora.dropout, model::mix(options_.seed) ^ pass);
    std::int64_t rows = 0;
    while (end < last && (end == begin || rows + std::ssize(examples_[end]->ids) <= options_.pass_rows_max))
      rows += std::ssize(examples_[end++]->ids);
    const auto part = add_gradient(base_, adapter_, working_, examples_.subspan(begin, end - begin), scale_,
                                   options_.gradient_checkpointing ? 0 : options_.pass_rows_max, gradient);
    nats_[own] += part.nats;
    for (std::size_t i = 0; i < part.by_example.size(); ++i)
      if (!std::isfinite(part.by_example[i]))
        return diverged("the loss is no number", step_,
                        "line " + std::to_string(examples_[begin + i]->source_line) + " of the training data");
  }
  return {};
}

// The order of distributed::sum_halves, without holding more gradients than its depth.
Status StepGradient::sum_batches(std::size_t begin, std::size_t end, at::Tensor& gradient) {
  if (end - begin == 1) return add_batch(begin, gradient);
  const std::size_t middle = begin + (end - begin) / 2;
  TRY(sum_batches(begin, middle, gradient));
  auto other = at::zeros_like(gradient);
  TRY(sum_batches(middle, end, other));
  gradient.add_(other);
  return {};
}

Result<StepLoss> StepGradient::compute(std::int64_t step, const Batch& step_examples, at::Tensor& gradient) {
  adapter_.write_working(working_, options_.precision);
  StepLoss loss;
  for (const auto* example : step_examples) loss.answers += evaluate::answer_tokens(*example);
  step_ = step;
  examples_ = step_examples;
  scale_ = 1.0 / static_cast<double>(loss.answers);
  const auto own = static_cast<std::size_t>(options_.accumulation_steps);
  nats_.assign(own, 0.0);
  gradient.zero_();
  TRY(sum_batches(group_.rank() * own, (group_.rank() + 1) * own, gradient));
  TRY(group_.sum({gradient.mutable_data_ptr<float>(), static_cast<std::size_t>(gradient.numel())}));
  const auto parts = TRY(group_.gather({reinterpret_cast<const char*>(nats_.data()), own * sizeof(double)}));
  for (const auto& part : parts) {
    if (part.size() != own * sizeof(double)) return fail(ErrorCode::internal, "a rank sent losses of another number of batches");
    std::memcpy(nats_.data(), part.data(), part.size());
    for (double nats : nats_) loss.nats += nats;
  }
  return loss;
}

}  // namespace redoubt::engine::train
