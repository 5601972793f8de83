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

Weighting StepGradient::weighting_of(std::size_t begin, std::size_t end, BatchSums& sums) const {
  if (options_.loss == Loss::answers) return {scale_};
  return {1, [=, this, &sums](std::span<const double> nats) {
            auto loss = preference_loss(nats, reference_.subspan(begin, end - begin), options_.dpo_beta);
            sums.nats += loss.loss, sums.margin += loss.margin, sums.preferred += static_cast<double>(loss.preferred);
            for (auto& slope : loss.slopes) slope *= scale_;
            return loss.slopes;
          }};
}

// Where the pass ends that begins with the example `begin`: it has one group, or as many up to `last` as its rows allow. What examples begin with
// alike is one row of them all, so that only the whole pass tells.
std::size_t StepGradient::end_of_pass(std::size_t begin, std::size_t last) const {
  const auto group = static_cast<std::size_t>(options_.group_size());
  const auto fits = [&](std::size_t groups) {
    const auto pass = examples_.subspan(begin, groups * group);
    std::int64_t tokens = 0;
    for (const auto* example : pass) tokens += std::ssize(example->ids);
    return tokens <= kPassTokensOfRow * options_.pass_rows_max && trainable_.rows_of(pass) <= options_.pass_rows_max;
  };
  // More examples never have fewer rows.
  std::size_t fit = 1, over = (last - begin) / group + 1;
  for (auto next = over - 1; over - fit > 1; next = fit + (over - fit) / 2) (fits(next) ? fit : over) = next;
  return begin + fit * group;
}

// Adds one batch's gradient, in as many passes as its rows need.
Status StepGradient::add_batch(std::size_t index, at::Tensor& gradient) {
  const auto group = static_cast<std::size_t>(options_.group_size());
  const auto size = static_cast<std::size_t>(options_.batch_size) * group;
  const std::size_t first = std::min(examples_.size(), index * size), last = std::min(examples_.size(), first + size);
  auto& sums = sums_[index % static_cast<std::size_t>(options_.accumulation_steps)];
  for (std::size_t begin = first, end = first; begin < last; begin = end) {
    const auto pass = static_cast<std::uint64_t>(step_) << 32 | begin;
    end = end_of_pass(begin, last);
    const auto part = trainable_.add_gradient(examples_.subspan(begin, end - begin), weighting_of(begin, end, sums),
                                              model::mix(options_.seed) ^ pass,
                                              options_.gradient_checkpointing ? 0 : options_.pass_rows_max, gradient);
    if (options_.loss == Loss::answers) sums.nats += part.nats;
    for (std::size_t i = 0; i < part.by_example.size(); ++i)
      if (!std::isfinite(part.by_example[i]))
        return diverged("the loss is no number", step_, data::place_of(*examples_[begin + i], "the training data"));
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

Result<StepLoss> StepGradient::compute(std::int64_t step, const Batch& step_examples, std::span<const double> reference,
                                       at::Tensor& gradient) {
  trainable_.write_working();
  StepLoss loss;
  for (const auto* example : step_examples) loss.count += evaluate::answer_tokens(*example);
  if (options_.loss == Loss::preference) loss.count = std::ssize(step_examples) / 2;
  step_ = step;
  examples_ = step_examples;
  reference_ = reference;
  scale_ = 1.0 / static_cast<double>(loss.count);
  const auto own = static_cast<std::size_t>(options_.accumulation_steps);
  sums_.assign(own, {});
  gradient.zero_();
  TRY(sum_batches(group_.rank() * own, (group_.rank() + 1) * own, gradient));
  TRY(group_.sum({gradient.mutable_data_ptr<float>(), static_cast<std::size_t>(gradient.numel())}));
  const auto parts = TRY(group_.gather({reinterpret_cast<const char*>(sums_.data()), own * sizeof(BatchSums)}));
  for (const auto& part : parts) {
    if (part.size() != own * sizeof(BatchSums)) return fail(ErrorCode::internal, "a rank sent losses of another number of batches");
    std::memcpy(sums_.data(), part.data(), part.size());
    for (const auto& sums : sums_) loss.sum += sums.nats, loss.margin += sums.margin, loss.preferred += sums.preferred;
  }
  return loss;
}

}  // namespace redoubt::engine::train
