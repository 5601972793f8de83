// SPDX-License-Identifier: Apache-2.0
#include "engine/train/trainer.h"

#include <chrono>
#include <cmath>
#include <numeric>
#include <random>

#include "engine/evaluate/evaluator.h"
#include "engine/model/layer_math.h"
#include "engine/train/backward.h"

namespace redoubt::engine::train {
namespace {

using Batch = std::vector<const data::Example*>;

class Run {
 public:
  Run(const model::CausalModel& base, const TrainData& data, const TrainOptions& options,
      const std::filesystem::path& checkpoints, const TrainHooks& hooks, model::Adapter adapter)
      : base_(base),
        data_(data),
        options_(options),
        checkpoints_(checkpoints),
        hooks_(hooks),
        adapter_(std::move(adapter)),
        optimizer_(adapter_.values().numel(), options.adamw),
        gradient_(at::zeros_like(adapter_.values())) {
    steps_each_ = (static_cast<std::int64_t>(data.train.size()) + options.batch_size - 1) / options.batch_size;
    steps_ = steps_each_ * options.epochs;
    rate_ = {options.learning_rate, options.schedule, options.warmup_steps(steps_), steps_};
    state_.identity = {{"options", identity_of(options)}, {"data", data.identity}};
  }

  Status resume();
  Status go();
  Result<TrainResult> result();

 private:
  bool is_done() const { return state_.step >= steps_ || stopped_early_ || stopped_by_hook_; }
  Result<Batch> batch_of(std::int64_t step);
  Status do_step();
  Result<BatchLoss> compute_gradient(const Batch& batch);
  Status finish_epoch();
  Status checkpoint();
  void report(std::string_view name, Json event);
  tl::unexpected<Error> diverged(const std::string& what, const std::string& where) const;

  const model::CausalModel& base_;
  const TrainData& data_;
  const TrainOptions& options_;
  const std::filesystem::path& checkpoints_;
  const TrainHooks& hooks_;
  model::Adapter adapter_;
  AdamW optimizer_;
  at::Tensor gradient_;
  model::LoraWeights working_;
  LearningRate rate_;
  std::int64_t steps_each_ = 0, steps_ = 0;
  std::int64_t order_epoch_ = -1;
  std::vector<std::size_t> order_;
  std::vector<data::Example> held_;  // the examples of the step
  RunState state_;
  bool stopped_early_ = false, stopped_by_hook_ = false;
};

Status Run::resume() {
  auto found = TRY(read_newest_checkpoint(checkpoints_));
  hooks_.event("plan", {{"steps", steps_},
                        {"epochs", options_.epochs},
                        {"examples", data_.train.size()},
                        {"tokens", data_.train.counts().tokens},
                        {"truncated", data_.train.counts().truncated},
                        {"resumed_step", found ? found->step : 0}});
  if (!found) return {};
  if (found->identity != state_.identity || found->values.numel() != adapter_.values().numel() || found->step > steps_)
    return fail(ErrorCode::invalid_argument, "the checkpoint belongs to a run with other hyperparameters, model or data",
                checkpoints_.string(), "restore them, or remove the checkpoints to begin anew");
  state_ = std::move(*found);
  adapter_.values().copy_(state_.values);
  optimizer_.first_moment.copy_(state_.first_moment);
  optimizer_.second_moment.copy_(state_.second_moment);
  optimizer_.steps = state_.step;
  stopped_early_ = options_.early_stopping_patience > 0 && state_.epochs_since_best >= options_.early_stopping_patience;
  return {};
}

Status Run::go() {
  while (!is_done()) {
    TRY(do_step());
    if (state_.step % steps_each_ == 0)
      TRY(finish_epoch());
    else if (options_.checkpoint_steps > 0 && state_.step % options_.checkpoint_steps == 0)
      TRY(checkpoint());
    stopped_by_hook_ = hooks_.stop_after && hooks_.stop_after(state_.step);
  }
  return {};
}

Result<Batch> Run::batch_of(std::int64_t step) {
  const std::int64_t epoch = step / steps_each_, begin = step % steps_each_ * options_.batch_size;
  if (epoch != order_epoch_) {
    order_ = order_of_epoch(data_.train.size(), options_.seed, epoch);
    order_epoch_ = epoch;
  }
  held_.clear();
  for (std::int64_t i = begin; i < std::min(begin + options_.batch_size, std::ssize(order_)); ++i)
    held_.push_back(TRY(data_.train.read(order_[static_cast<std::size_t>(i)])));
  Batch batch;
  for (const auto& example : held_) batch.push_back(&example);
  return batch;
}

Result<BatchLoss> Run::compute_gradient(const Batch& batch) {
  adapter_.write_working(working_, options_.precision);
  gradient_.zero_();
  std::int64_t answers = 0;
  for (const auto* example : batch) answers += evaluate::answer_tokens(*example);
  BatchLoss loss;
  for (std::size_t begin = 0, end = 0; begin < batch.size(); begin = end) {
    const auto pass = static_cast<std::uint64_t>(state_.step) << 32 | begin;
    model::set_dropout(working_, options_.lora.dropout, model::mix(options_.seed) ^ pass);
    std::int64_t rows = 0;
    while (end < batch.size() && (end == begin || rows + std::ssize(batch[end]->ids) <= options_.pass_rows_max))
      rows += std::ssize(batch[end++]->ids);
    const auto part = add_gradient(base_, adapter_, working_, std::span(batch).subspan(begin, end - begin),
                                   1.0 / static_cast<double>(answers), options_.pass_rows_max, gradient_);
    loss.nats += part.nats;
    loss.answers += part.answers;
    for (std::size_t i = 0; i < part.by_example.size(); ++i)
      if (!std::isfinite(part.by_example[i]))
        return diverged("the loss is no number",
                        "line " + std::to_string(batch[begin + i]->source_line) + " of the training data");
  }
  return loss;
}

tl::unexpected<Error> Run::diverged(const std::string& what, const std::string& where) const {
  return fail(ErrorCode::invalid_argument, what, "step " + std::to_string(state_.step + 1) + ", " + where,
              "lower learning_rate or look at that example; the last checkpoint is kept");
}

Status Run::do_step() {
  const auto start = std::chrono::steady_clock::now();
  const auto batch = TRY(batch_of(state_.step));
  const auto loss = TRY(compute_gradient(batch));
  const double norm = norm_of(gradient_);
  if (!std::isfinite(norm))
    return diverged("the gradient is no number", "lines from " + std::to_string(batch.front()->source_line));
  if (options_.max_grad_norm > 0) clip(gradient_, norm, options_.max_grad_norm);
  const double rate = rate_.at(state_.step);
  optimizer_.step(adapter_.values(), gradient_, rate);
  ++state_.step;

  std::int64_t tokens = 0;
  for (const auto* example : batch) tokens += std::ssize(example->ids);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  report("step", {{"step", state_.step},
                  {"steps", steps_},
                  {"epoch", static_cast<double>(state_.step) / static_cast<double>(steps_each_)},
                  {"loss", loss.nats / static_cast<double>(loss.answers)},
                  {"learning_rate", rate},
                  {"grad_norm", norm},
                  {"tokens", tokens},
                  {"tokens_per_second", std::round(static_cast<double>(tokens) / seconds)}});
  return {};
}

Status Run::finish_epoch() {
  const std::int64_t epoch = state_.step / steps_each_;
  if (!data_.eval.empty()) {
    adapter_.write_working(working_, options_.precision);
    model::set_dropout(working_, 0, 0);
    const auto evaluation = TRY(evaluate::evaluate(base_, &working_, data_.eval));
    if (!std::isfinite(evaluation.loss))
      return diverged("the eval loss is no number", "after epoch " + std::to_string(epoch));
    const bool best = !state_.best_loss || evaluation.loss < *state_.best_loss;
    state_.epochs_since_best = best ? 0 : state_.epochs_since_best + 1;
    if (best) {
      state_.best_loss = evaluation.loss;
      state_.best_epoch = epoch;
      state_.best_values = adapter_.values().clone();
    }
    stopped_early_ = options_.early_stopping_patience > 0 && state_.epochs_since_best >= options_.early_stopping_patience;
    report("epoch", {{"epoch", epoch},
                     {"eval_loss", evaluation.loss},
                     {"perplexity", evaluation.perplexity},
                     {"accuracy", evaluation.accuracy},
                     {"best", best}});
  }
  state_.epochs_evaluated = epoch;
  return checkpoint();
}

Status Run::checkpoint() {
  state_.values = adapter_.values();
  state_.first_moment = optimizer_.first_moment;
  state_.second_moment = optimizer_.second_moment;
  return write_checkpoint(checkpoints_, state_);
}

void Run::report(std::string_view name, Json event) {
  hooks_.event(name, event);
  event["event"] = name;
  state_.metrics.push_back(std::move(event));
}

Result<TrainResult> Run::result() {
  if (state_.best_values.defined()) adapter_.values().copy_(state_.best_values);
  const auto best_epoch = state_.best_values.defined() ? state_.best_epoch : state_.step / steps_each_;
  return TrainResult{std::move(adapter_),      state_.step, best_epoch, state_.best_loss, stopped_early_, stopped_by_hook_,
                     std::move(state_.metrics)};
}

}  // namespace

std::vector<std::size_t> order_of_epoch(std::size_t examples, std::uint64_t seed, std::int64_t epoch) {
  std::vector<std::size_t> order(examples);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::seed_seq seeds{seed & 0xffffffff, seed >> 32, static_cast<std::uint64_t>(epoch)};
  std::mt19937_64 generator(seeds);
  // The remainder's bias is below 2^-40 for any data set, and unlike std::shuffle it is the same everywhere.
  for (std::size_t i = examples; i > 1; --i) std::swap(order[i - 1], order[generator() % i]);
  return order;
}

Result<TrainResult> train(const model::CausalModel& base, const TrainData& data, const TrainOptions& options,
                          const std::filesystem::path& checkpoints, const TrainHooks& hooks) {
  c10::InferenceMode guard;
  TRY(model::check_trainable(base.config()));
  auto adapter = TRY(model::Adapter::create(base.config(), options.lora, options.seed));
  Run run(base, data, options, checkpoints, hooks, std::move(adapter));
  TRY(run.resume());
  TRY(run.go());
  return run.result();
}

}  // namespace redoubt::engine::train
