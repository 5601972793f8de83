// SPDX-License-Identifier: Apache-2.0
#include "engine/train/trainer.h"

#include <chrono>
#include <cmath>
#include <numeric>
#include <random>

#include "engine/evaluate/evaluator.h"
#include "engine/train/memory.h"
#include "engine/train/ranks.h"
#include "engine/train/step_gradient.h"

namespace redoubt::engine::train {
namespace {

PassSize size_of_passes(const TrainData& data, const TrainOptions& options) {
  PassSize size;
  for (const auto& examples : {data.train, data.eval}) {
    size.longest = std::max(size.longest, examples.counts().longest);
    size.tokens += examples.counts().tokens;  // their file lies in memory where the job's folder does
  }
  const auto batch = options.batch_size * options.group_size() * size.longest;
  size.rows = std::max(size.longest, std::min(options.pass_rows_max, batch));
  size.met = std::min(kPassTokensOfRow * size.rows, batch);
  return size;
}

std::vector<double> nats_of(const evaluate::Evaluation& evaluation) {
  std::vector<double> nats;
  for (const auto& score : evaluation.examples) nats.push_back(-score.log_likelihood);
  return nats;
}

// The examples of one step, and each one's nats in the reference model where the loss needs them.
struct StepExamples {
  Batch examples;
  std::vector<double> reference;
};

class Run {
 public:
  Run(const model::CausalModel& base, const TrainData& data, const TrainOptions& options,
      const std::filesystem::path& checkpoints, const TrainHooks& hooks, distributed::Group& group, Trainable& trainable)
      : base_(base),
        data_(data),
        options_(options),
        checkpoints_(checkpoints),
        hooks_(hooks),
        group_(group),
        trainable_(trainable),
        optimizer_(trainable.values().numel(), options.adamw, trainable.not_decayed()),
        step_gradient_(trainable, options, group),
        gradient_(at::zeros_like(trainable.values())) {
    examples_each_ = step_gradient_.examples();
    steps_each_ = (static_cast<std::int64_t>(data.train.size()) + examples_each_ - 1) / examples_each_;
    steps_ = steps_each_ * options.epochs;
    rate_ = {options.learning_rate, options.schedule, options.warmup_steps_of(steps_), steps_};
    state_.identity = {{"options", identity_of(options)}, {"data", data.identity}};
    state_.identity["options"]["micro_batches"] = step_gradient_.micro_batches();
    state_.now = data.now;
  }

  Status resume();
  Status go();
  TrainOutcome outcome();

 private:
  bool is_done() const { return state_.step >= steps_ || stopped_early_ || stopped_by_hook_; }
  Result<StepExamples> batch_of(std::int64_t step);
  Status do_step();
  Result<evaluate::Evaluation> evaluate_shares(const data::Examples& examples, const model::LoraWeights* adapter);
  Status identify_model();
  Status judge_reference();
  Status judge(const evaluate::Evaluation& evaluation, std::int64_t epoch);
  Status finish_epoch();
  Status checkpoint();
  void report(std::string_view name, Json event);

  const model::CausalModel& base_;
  const TrainData& data_;
  const TrainOptions& options_;
  const std::filesystem::path& checkpoints_;
  const TrainHooks& hooks_;
  distributed::Group& group_;
  Trainable& trainable_;
  AdamW optimizer_;
  StepGradient step_gradient_;
  std::vector<double> train_reference_, eval_reference_;  // nats by example, for preferences
  at::Tensor gradient_;
  LearningRate rate_;
  std::int64_t examples_each_ = 0, steps_each_ = 0, steps_ = 0;  // examples of a step, steps of an epoch, of the run
  std::int64_t order_epoch_ = -1;
  std::vector<std::size_t> order_;
  std::vector<data::Example> held_;  // the examples of the step
  RunState state_;
  bool stopped_early_ = false, stopped_by_hook_ = false;
};

Status Run::resume() {
  const auto memory = plan_memory(base_.config(), options_, trainable_.values().numel(), size_of_passes(data_, options_));
  TRY(check_memory(memory, options_.processes_here, memory_limit()));
  if (group_.ranks() > 1) TRY(identify_model());
  Json shared = state_.identity;
  shared["checkpoint_steps"] = options_.checkpoint_steps;  // where the ranks meet
  TRY(check_agreement(group_, shared));
  TRY(judge_reference());
  auto found = TRY(read_for_all(group_, checkpoints_));
  if (group_.leads())
    hooks_.event("plan", {{"steps", steps_},
                          {"epochs", options_.epochs},
                          {"ranks", group_.ranks()},
                          {"examples_per_step", examples_each_},
                          {"memory_bytes", memory.total()},
                          {"examples", data_.train.size()},
                          {"tokens", data_.train.counts().tokens},
                          {"truncated", data_.train.counts().truncated},
                          {"resumed_step", found ? found->step : 0}});
  if (!found) return {};
  TRY(identify_model());
  const bool same = found->identity == state_.identity;
  if (!same || found->values.numel() != trainable_.values().numel() || found->step > steps_)
    return fail(ErrorCode::invalid_argument,
                "the checkpoint belongs to a run with other hyperparameters, model or data" +
                    (same ? "" : ": " + difference(found->identity, state_.identity) + " differs"),
                checkpoints_.string(), "restore them, or remove the checkpoints to begin anew");
  state_ = std::move(*found);
  trainable_.values().copy_(state_.values);
  optimizer_.first_moment.copy_(state_.first_moment);
  optimizer_.second_moment.copy_(state_.second_moment);
  optimizer_.steps = state_.step;
  stopped_early_ = options_.early_stopping_patience > 0 && state_.epochs_since_best >= options_.early_stopping_patience;
  return {};
}

Status Run::identify_model() {
  auto& identity = state_.identity["data"];
  if (data_.model_digest && !identity.contains("model")) identity["model"] = TRY(data_.model_digest());
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

Result<StepExamples> Run::batch_of(std::int64_t step) {
  const std::int64_t epoch = step / steps_each_, begin = step % steps_each_ * examples_each_;
  if (epoch != order_epoch_) {
    const auto group = static_cast<std::size_t>(options_.group_size());
    order_.clear();
    for (const auto first : order_of_epoch(data_.train.size() / group, options_.seed, epoch))
      for (std::size_t i = 0; i < group; ++i) order_.push_back(first * group + i);
    order_epoch_ = epoch;
  }
  held_.clear();
  StepExamples batch;
  for (std::int64_t i = begin; i < std::min(begin + examples_each_, std::ssize(order_)); ++i) {
    const auto index = order_[static_cast<std::size_t>(i)];
    held_.push_back(TRY(data_.train.read(index)));
    if (!train_reference_.empty()) batch.reference.push_back(train_reference_[index]);
  }
  for (const auto& example : held_) batch.examples.push_back(&example);
  return batch;
}

Status Run::do_step() {
  const auto start = std::chrono::steady_clock::now();
  const auto batch = TRY(batch_of(state_.step));
  const auto loss = TRY(step_gradient_.compute(state_.step, batch.examples, batch.reference, gradient_));
  const double norm = norm_of(gradient_);
  if (!std::isfinite(norm))
    return diverged("the gradient is no number", state_.step, "the batch from " + data::place_of(*batch.examples.front(), "the training data"));
  if (options_.max_grad_norm > 0) clip(gradient_, norm, options_.max_grad_norm);
  const double rate = rate_.at(state_.step);
  optimizer_.step(trainable_.values(), gradient_, rate);
  ++state_.step;

  std::int64_t tokens = 0;
  for (const auto* example : batch.examples) tokens += std::ssize(example->ids);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  Json event = {{"step", state_.step},
                  {"steps", steps_},
                  {"epoch", static_cast<double>(state_.step) / static_cast<double>(steps_each_)},
                  {"loss", loss.mean()},
                  {"learning_rate", rate},
                  {"grad_norm", norm},
                  {"tokens", tokens},
                  {"tokens_per_second", std::round(static_cast<double>(tokens) / seconds)}};
  if (options_.loss == Loss::preference) {
    event["reward_margin"] = loss.margin / static_cast<double>(loss.count);
    event["reward_accuracy"] = loss.preferred / static_cast<double>(loss.count);
  }
  report("step", std::move(event));
  return {};
}

Status Run::finish_epoch() {
  const std::int64_t epoch = state_.step / steps_each_;
  if (!data_.eval.empty()) {
    trainable_.write_working();
    TRY(judge(TRY(evaluate_shares(data_.eval, trainable_.adapter())), epoch));
  }
  state_.epochs_evaluated = epoch;
  return checkpoint();
}

Status Run::judge(const evaluate::Evaluation& evaluation, std::int64_t epoch) {
  Json event = {{"epoch", epoch}};
  double loss = evaluation.loss;
  if (options_.loss == Loss::preference) {
    const auto preference = preference_loss(nats_of(evaluation), eval_reference_, options_.dpo_beta);
    const auto pairs = static_cast<double>(data_.eval.size() / 2);
    loss = preference.loss / pairs;
    event.update({{"reward_margin", preference.margin / pairs}, {"reward_accuracy", static_cast<double>(preference.preferred) / pairs}});
  } else {
    event.update({{"perplexity", evaluation.perplexity}, {"accuracy", evaluation.accuracy}});
  }
  if (!std::isfinite(loss)) return diverged("the eval loss is no number", state_.step - 1, "after epoch " + std::to_string(epoch));
  const bool best = !state_.best_loss || loss < *state_.best_loss;
  state_.epochs_since_best = best ? 0 : state_.epochs_since_best + 1;
  if (best) {
    state_.best_loss = loss;
    state_.best_epoch = epoch;
    state_.best_values = trainable_.values().clone();
  }
  stopped_early_ = options_.early_stopping_patience > 0 && state_.epochs_since_best >= options_.early_stopping_patience;
  event.update({{"eval_loss", loss}, {"best", best}});
  report("epoch", std::move(event));
  return {};
}

// Each rank computes every ranks-th pass; all know all scores.
Result<evaluate::Evaluation> Run::evaluate_shares(const data::Examples& examples, const model::LoraWeights* adapter) {
  evaluate::EvaluateOptions share;
  share.share = static_cast<std::int64_t>(group_.rank()), share.shares = static_cast<std::int64_t>(group_.ranks());
  auto scores = TRY(evaluate::evaluate(base_, adapter, examples, share)).examples;
  TRY(gather_scores(group_, scores));
  return evaluate::summarise(std::move(scores));
}

// What the model answered before this run changed it: the base, or the adapter that the run goes on from.
Status Run::judge_reference() {
  if (options_.loss != Loss::preference) return {};
  trainable_.write_working();
  const auto* before = data_.starts_from_adapter ? trainable_.adapter() : nullptr;
  train_reference_ = nats_of(TRY(evaluate_shares(data_.train, before)));
  if (!data_.eval.empty()) eval_reference_ = nats_of(TRY(evaluate_shares(data_.eval, before)));
  for (std::size_t i = 0; i < train_reference_.size(); ++i)
    if (!std::isfinite(train_reference_[i]))
      return diverged("the reference's loss is no number", 0, data::place_of(TRY(data_.train.read(i)), "the training data"));
  return {};
}

Status Run::checkpoint() {
  state_.values = trainable_.values();
  if (!std::isfinite(norm_of(state_.values)))
    return fail(ErrorCode::invalid_argument, "a trained value is no number", "step " + std::to_string(state_.step),
                "lower learning_rate, or raise adam_epsilon; the last checkpoint is kept");
  state_.first_moment = optimizer_.first_moment;
  state_.second_moment = optimizer_.second_moment;
  TRY(identify_model());
  TRY(check_equal_values(group_, state_.values));
  return group_.leads() ? write_checkpoint(checkpoints_, state_) : Status();
}

void Run::report(std::string_view name, Json event) {
  if (group_.leads()) hooks_.event(name, event);
  event["event"] = name;
  state_.metrics.push_back(std::move(event));
}

TrainOutcome Run::outcome() {
  if (state_.best_values.defined()) trainable_.values().copy_(state_.best_values);
  const auto best_epoch = state_.best_values.defined() ? state_.best_epoch : state_.step / steps_each_;
  return {state_.step, best_epoch, state_.best_loss, stopped_early_, stopped_by_hook_, std::move(state_.metrics)};
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
  distributed::Group alone;
  return train(base, data, options, checkpoints, hooks, alone);
}

Result<TrainResult> train(const model::CausalModel& base, const TrainData& data, const TrainOptions& options,
                          const std::filesystem::path& checkpoints, const TrainHooks& hooks, distributed::Group& group) {
  c10::InferenceMode guard;
  auto adapter = TRY(model::Adapter::create(base.config(), options.lora, options.seed, &base.weights()));
  AdapterTrainable trainable(base, std::move(adapter), options.precision);
  auto outcome = TRY(run(base, data, options, checkpoints, hooks, group, trainable));
  return TrainResult{std::move(outcome), trainable.take()};
}

Result<TrainOutcome> run(const model::CausalModel& base, const TrainData& data, const TrainOptions& options,
                         const std::filesystem::path& checkpoints, const TrainHooks& hooks, distributed::Group& group,
                         Trainable& trainable) {
  c10::InferenceMode guard;
  TRY(model::check_trainable(base.config()));
  Run training(base, data, options, checkpoints, hooks, group, trainable);
  TRY(training.resume());
  TRY(training.go());
  return training.outcome();
}

}  // namespace redoubt::engine::train
