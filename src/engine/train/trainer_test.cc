// SPDX-License-Identifier: Apache-2.0
#include "engine/train/trainer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <thread>

#include "base/file.h"
#include "engine/distributed/join.h"
#include "engine/evaluate/evaluator.h"
#include "engine/train/ranks.h"
#include "engine/train/step_gradient.h"
#include "engine/train/testing.h"

namespace redoubt::engine::train {
namespace {

TrainOptions options_for_tests() {
  TrainOptions options;
  options.epochs = 3, options.batch_size = 3, options.learning_rate = 5e-3, options.schedule = Schedule::cosine;
  options.warmup_ratio = 0.1, options.lora = {.rank = 4, .alpha = 8, .targets = {}}, options.checkpoint_steps = 3;
  options.precision = model::Precision::fp32;
  return options;
}

class TrainerTest : public ::testing::Test {
 protected:
  Result<TrainResult> run(const TrainOptions& options, std::function<bool(std::int64_t)> stop_after = {},
                          const char* name = "a") {
    TrainHooks hooks;
    hooks.stop_after = std::move(stop_after);
    return train(*base_, {train_, eval_, {}}, options, folder_.path() / name, hooks);
  }

  TemporaryFolder folder_ = TemporaryFolder::create().value();
  std::unique_ptr<model::CausalModel> base_ = testing::tiny_model(5);
  std::vector<data::Example> train_ = testing::random_examples(20, 97, 1), eval_ = testing::random_examples(4, 97, 2);
};

TEST_F(TrainerTest, the_training_loss_falls) {
  auto result = run(options_for_tests());
  ASSERT_TRUE(result) << result.error().message;
  const auto& first = result->metrics.front();
  Json last;
  for (const auto& event : result->metrics)
    if (event["event"] == "step") last = event;
  EXPECT_LT(last["loss"].get<double>(), first["loss"].get<double>() - 0.5);
}

TEST_F(TrainerTest, a_run_killed_anywhere_and_resumed_ends_bit_for_bit_as_the_whole_run) {
  const auto options = options_for_tests();
  const auto whole = run(options).value();
  for (std::int64_t kill_at : {1, 4, 7, 8, 20}) {
    const std::string name = "killed" + std::to_string(kill_at);
    ASSERT_TRUE(run(options, [&](std::int64_t step) { return step == kill_at; }, name.c_str())->stopped_by_hook);
    const auto resumed = run(options, {}, name.c_str()).value();
    EXPECT_TRUE(resumed.adapter.values().equal(whole.adapter.values())) << kill_at;
    EXPECT_EQ(resumed.best_loss, whole.best_loss);
    EXPECT_EQ(resumed.metrics.size(), whole.metrics.size());
  }
}

TEST_F(TrainerTest, over_a_rounded_base_a_resumed_run_ends_bit_for_bit_as_the_whole_run) {
  auto config = testing::tiny_config();
  config.intermediate = 64;
  for (const auto format : {model::WeightFormat::int8, model::WeightFormat::int4})
    for (const bool dora : {false, true}) {
      base_ = testing::tiny_model(5, model::Precision::bf16, config);
      ASSERT_TRUE(base_->quantise(format));
      auto options = options_for_tests();
      options.precision = model::Precision::bf16, options.weights = format, options.lora.magnitude = dora;
      const std::string name = std::string(model::to_string(format)) + (dora ? "dora" : "");
      const auto whole = run(options, {}, name.c_str()).value();
      ASSERT_TRUE(run(options, [](std::int64_t step) { return step == 8; }, (name + "killed").c_str())->stopped_by_hook);
      EXPECT_TRUE(run(options, {}, (name + "killed").c_str())->adapter.values().equal(whole.adapter.values()));
    }
}

TEST_F(TrainerTest, a_checkpoint_over_other_weights_is_refused) {
  auto options = options_for_tests();
  ASSERT_TRUE(run(options, [](std::int64_t step) { return step == 3; }));
  options.weights = model::WeightFormat::int8;
  EXPECT_EQ(run(options).error().code, ErrorCode::invalid_argument);
}

TEST_F(TrainerTest, the_weights_are_identified_at_the_first_checkpoint_and_before_a_run_goes_on) {
  const auto options = options_for_tests();  // a checkpoint after three steps
  TrainData data{train_, eval_, {}};
  std::string digest = "of these weights";
  int asked = 0;
  data.model_digest = [&]() -> Result<std::string> { return ++asked, digest; };
  TrainHooks hooks;
  std::vector<int> asked_after;
  hooks.stop_after = [&](std::int64_t step) { return asked_after.push_back(asked), step == 7; };
  const auto run_on = [&] { return train(*base_, data, options, folder_.path() / "a", hooks); };
  ASSERT_TRUE(run_on()->stopped_by_hook);
  EXPECT_EQ(asked_after, (std::vector<int>{0, 0, 1, 1, 1, 1, 1}));
  hooks.stop_after = {};
  digest = "of others";
  EXPECT_EQ(run_on().error().code, ErrorCode::invalid_argument);
  digest = "of these weights";
  EXPECT_TRUE(run_on());
  data.model_digest = [] { return Result<std::string>(fail(ErrorCode::not_found, "no weights")); };
  EXPECT_EQ(run_on().error().code, ErrorCode::not_found);
}

TEST_F(TrainerTest, a_run_of_half_a_million_steps_goes_on_from_its_checkpoint) {
  c10::InferenceMode guard;
  RunState state;
  state.identity = Json::object();
  state.values = state.first_moment = state.second_moment = at::zeros({3});
  state.step = 400'000;
  for (std::int64_t step = 1; step <= state.step; ++step)
    state.metrics.push_back({{"event", "step"}, {"step", step}, {"loss", 1.0 / static_cast<double>(step)}, {"learning_rate", 1.0 / 3}, {"grad_norm", 1.0 / 7},
                             {"epoch", 1.0 / 9}, {"tokens_per_second", 1234.0}, {"tokens", 480}, {"steps", 500'000}});
  ASSERT_TRUE(write_checkpoint(folder_.path() / "a", state));
  distributed::Group alone;
  const auto found = read_for_all(alone, folder_.path() / "a");
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ((*found)->metrics.size(), 400'000u);
}

TEST_F(TrainerTest, two_runs_of_one_seed_are_equal_and_of_two_seeds_are_not) {
  auto options = options_for_tests();
  const auto one = run(options, {}, "one").value(), two = run(options, {}, "two").value();
  EXPECT_TRUE(one.adapter.values().equal(two.adapter.values()));
  options.seed = 43;
  EXPECT_FALSE(run(options, {}, "three").value().adapter.values().equal(one.adapter.values()));
}

TEST_F(TrainerTest, bf16_runs_of_one_seed_are_equal_too) {
  base_ = testing::tiny_model(5, model::Precision::bf16);
  auto options = options_for_tests();
  options.precision = model::Precision::bf16;
  EXPECT_TRUE(run(options, {}, "one").value().adapter.values().equal(run(options, {}, "two").value().adapter.values()));
}

TEST_F(TrainerTest, a_batch_in_several_passes_gives_the_gradient_of_one) {
  auto options = options_for_tests();
  options.epochs = 1;
  const auto whole = run(options, {}, "one").value();
  options.pass_rows_max = 10;
  const auto pieces = run(options, {}, "two").value();
  EXPECT_LT((whole.adapter.values() - pieces.adapter.values()).abs().max().item<double>(), 1e-3);
}

// Counts the examples of each pass.
class CountedPasses final : public Trainable {
 public:
  CountedPasses(const model::CausalModel& base, model::Adapter adapter) : inner_(base, std::move(adapter), model::Precision::fp32) {}
  at::Tensor& values() override { return inner_.values(); }
  void write_working() override { inner_.write_working(); }
  const model::LoraWeights* adapter() const override { return inner_.adapter(); }
  std::int64_t rows_of(std::span<const data::Example* const> examples) const override { return inner_.rows_of(examples); }
  BatchLoss add_gradient(std::span<const data::Example* const> examples, const Weighting& weighting, std::uint64_t key, std::int64_t keep, at::Tensor& gradient) override {
    passes.push_back(examples.size());
    return inner_.add_gradient(examples, weighting, key, keep, gradient);
  }
  std::vector<std::size_t> passes;

 private:
  AdapterTrainable inner_;
};

TEST_F(TrainerTest, a_pass_takes_as_many_examples_as_the_rows_that_are_left_when_they_share_their_beginning) {
  auto options = options_for_tests();
  options.batch_size = 8, options.pass_rows_max = 96;
  std::vector<data::Example> examples(8);
  Batch batch;
  for (std::int32_t i = 0; i < 8; ++i) {
    auto& example = examples[static_cast<std::size_t>(i)];
    for (std::int32_t t = 0; t < 40; ++t) example.ids.push_back(t);  // 41 tokens, and 4 of its own: 40 + 8 * 4 rows in one pass, 44 each alone
    for (std::int32_t t = 0; t < 5; ++t) example.ids.push_back(50 + i + t);
    example.answer_start = 42, example.answer_words = 1, example.answer_bytes = 1;
    batch.push_back(&example);
  }
  const auto passes_of = [&](double dropout) {
    options.lora.dropout = dropout;
    CountedPasses trainable(*base_, model::Adapter::create(base_->config(), options.lora, 3).value());
    distributed::Group alone;
    auto gradient = at::zeros_like(trainable.values());
    EXPECT_TRUE(StepGradient(trainable, options, alone).compute(0, batch, {}, gradient));
    return trainable.passes;
  };
  EXPECT_EQ(passes_of(0), (std::vector<std::size_t>{8}));
  EXPECT_EQ(passes_of(0.1), (std::vector<std::size_t>{2, 2, 2, 2}));
  options.pass_rows_max = 64;
  EXPECT_EQ(passes_of(0), (std::vector<std::size_t>{6, 2}));
  options.pass_rows_max = 1;
  EXPECT_EQ(passes_of(0), std::vector<std::size_t>(8, 1));
}

TEST_F(TrainerTest, dropout_is_drawn_from_the_seed_and_a_resumed_run_draws_the_same) {
  auto options = options_for_tests();
  const auto plain = run(options, {}, "plain").value();
  options.lora.dropout = 0.3, options.pass_rows_max = 30;  // several passes a step, each with its own draw
  const auto whole = run(options, {}, "whole").value();
  EXPECT_FALSE(whole.adapter.values().equal(plain.adapter.values()));
  ASSERT_TRUE(run(options, [](std::int64_t step) { return step == 8; }, "killed"));
  EXPECT_TRUE(run(options, {}, "killed")->adapter.values().equal(whole.adapter.values()));
  // Nothing is dropped when the adapter is judged.
  model::LoraWeights working;
  whole.adapter.write_working(working, options.precision);
  c10::InferenceMode guard;
  EXPECT_DOUBLE_EQ(evaluate::evaluate(*base_, &working, eval_)->loss, *whole.best_loss);
}

TEST_F(TrainerTest, training_stops_when_the_eval_loss_no_longer_falls_and_the_best_adapter_is_kept) {
  auto options = options_for_tests();
  options.epochs = 30, options.learning_rate = 0.02, options.early_stopping_patience = 2,
  options.schedule = Schedule::constant;
  const auto result = run(options).value();
  EXPECT_TRUE(result.stopped_early);
  EXPECT_EQ(result.steps, (result.best_epoch + 2) * 7);
  model::LoraWeights working;
  result.adapter.write_working(working, options.precision);
  c10::InferenceMode guard;
  EXPECT_DOUBLE_EQ(evaluate::evaluate(*base_, &working, eval_)->loss, *result.best_loss);
}

TEST_F(TrainerTest, a_checkpoint_of_other_hyperparameters_is_refused) {
  auto options = options_for_tests();
  ASSERT_TRUE(run(options, [](std::int64_t step) { return step == 3; }));
  options.learning_rate = 1e-3;
  const auto refused = run(options);
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument);
  EXPECT_NE(refused.error().message.find("options.learning_rate differs"), std::string::npos) << refused.error().message;
}

TEST_F(TrainerTest, a_loss_that_is_no_number_names_step_and_example_and_keeps_the_checkpoint) {
  auto options = options_for_tests();
  ASSERT_TRUE(run(options, [](std::int64_t step) { return step == 3; }));
  // One token of one example has a broken embedding.
  c10::InferenceMode guard;
  for (auto& example : train_) std::replace(example.ids.begin(), example.ids.end(), 96, 0);
  train_[11].ids[0] = 96;
  base_->weights().embedding.select(0, 96).fill_(std::nanf(""));
  base_ = std::make_unique<model::CausalModel>(
      base_->config(),
      [&] {
        auto weights = base_->weights();
        weights.head = weights.embedding.nan_to_num();
        return weights;
      }(),
      model::Precision::fp32);
  const auto result = run(options);
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().where.find("line 12"), std::string::npos) << result.error().where;
  EXPECT_NE(result.error().where.find("step "), std::string::npos);
  EXPECT_TRUE(read_newest_checkpoint(folder_.path() / "a").value().has_value());
}

class RanksTest : public TrainerTest {
 protected:
  // One run on several ranks, a thread each; their results by rank.
  std::vector<Result<TrainResult>> run_ranks(std::size_t ranks, const std::function<TrainOptions(std::size_t)>& options_of,
                                             std::function<bool(std::int64_t)> stop_after, const char* name) {
    auto peers = distributed::connect_pairs(ranks).value();
    std::vector<Result<TrainResult>> results;
    for (std::size_t i = 0; i < ranks; ++i) results.emplace_back(tl::unexpect, Error{});
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < ranks; ++i)
      threads.emplace_back([&, i] {
        at::set_num_threads(1);
        distributed::Group group(i, std::move(peers[i]), std::chrono::seconds(20));
        TrainHooks hooks;
        hooks.stop_after = stop_after;
        // Only the leader's folder counts.
        const auto folder = folder_.path() / (i == 0 ? name : "none");
        results[i] = train(*base_, {train_, eval_, {}}, options_of(i), folder, hooks, group);
        if (!results[i]) group.leave(results[i].error());
      });
    for (auto& thread : threads) thread.join();
    return results;
  }
  TrainOptions with(std::int64_t batch_size, std::int64_t accumulation_steps) const {
    auto options = options_for_tests();
    options.batch_size = batch_size, options.accumulation_steps = accumulation_steps;
    return options;
  }
  // One process on one thread, as the ranks have it.
  Result<TrainResult> run_alone(const TrainOptions& options, const char* name) {
    const int threads = at::get_num_threads();
    at::set_num_threads(1);
    auto result = run(options, {}, name);
    at::set_num_threads(threads);
    return result;
  }
};

TEST_F(RanksTest, ranks_train_the_adapter_of_one_process_with_as_many_batches_bit_for_bit) {
  for (std::size_t ranks : {2, 4}) {
    const auto alone = run_alone(with(2, 4), ("alone" + std::to_string(ranks)).c_str()).value();
    const auto results = run_ranks(
        ranks, [&](std::size_t) { return with(2, 4 / static_cast<std::int64_t>(ranks)); }, {},
        std::to_string(ranks).c_str());
    for (const auto& result : results) {
      ASSERT_TRUE(result) << result.error().message;
      EXPECT_TRUE(result->adapter.values().equal(alone.adapter.values()));
      EXPECT_EQ(result->best_loss, alone.best_loss);
      for (std::size_t i = 0; i < alone.metrics.size(); ++i)
        EXPECT_EQ(result->metrics[i].value("loss", Json()), alone.metrics[i].value("loss", Json()));
    }
  }
}

TEST_F(RanksTest, two_ranks_at_half_the_batch_have_the_losses_of_one) {
  const auto alone = run_alone(with(8, 1), "alone").value();
  const auto two = run_ranks(2, [&](std::size_t) { return with(4, 1); }, {}, "two");
  ASSERT_TRUE(two[0]) << two[0].error().message;
  ASSERT_EQ(two[0]->metrics.size(), alone.metrics.size());
  for (std::size_t i = 0; i < alone.metrics.size(); ++i)
    if (alone.metrics[i]["event"] == "step") {
      EXPECT_NEAR(two[0]->metrics[i]["loss"].get<double>(), alone.metrics[i]["loss"].get<double>(), 1e-4);
    }
}

TEST_F(RanksTest, with_dropout_too_the_batches_are_the_same_wherever_they_are_computed) {
  const auto dropping = [&](std::int64_t accumulation) {
    auto options = with(3, accumulation);
    options.lora.dropout = 0.3;
    return options;
  };
  const auto alone = run_alone(dropping(2), "alone").value();
  const auto two = run_ranks(2, [&](std::size_t) { return dropping(1); }, {}, "two");
  EXPECT_TRUE(two[1]->adapter.values().equal(alone.adapter.values()));
}

TEST_F(RanksTest, a_run_goes_on_from_the_leaders_checkpoint_with_as_many_or_fewer_ranks) {
  const auto whole = run_ranks(2, [&](std::size_t) { return with(2, 1); }, {}, "whole");
  for (std::int64_t ranks : {1, 2}) {
    const std::string name = "killed" + std::to_string(ranks);
    ASSERT_TRUE(
        run_ranks(2, [&](std::size_t) { return with(2, 1); }, [](std::int64_t step) { return step == 7; }, name.c_str())[0]);
    const auto resumed =
        run_ranks(static_cast<std::size_t>(ranks), [&](std::size_t) { return with(2, 2 / ranks); }, {}, name.c_str());
    ASSERT_TRUE(resumed[0]) << resumed[0].error().message;
    EXPECT_TRUE(resumed[0]->adapter.values().equal(whole[0]->adapter.values())) << ranks;
    EXPECT_EQ(resumed[0]->metrics.size(), whole[0]->metrics.size());
  }
}

TEST_F(RanksTest, ranks_that_were_told_different_things_end_before_the_first_step) {
  const auto results = run_ranks(
      3,
      [&](std::size_t rank) {
        auto options = with(2, 1);
        if (rank == 2) options.learning_rate = 1e-3;
        return options;
      },
      {}, "a");
  for (const auto& result : results) {
    ASSERT_FALSE(result);
    EXPECT_NE(result.error().message.find("rank 2"), std::string::npos) << result.error().message;
    EXPECT_NE(result.error().message.find("options.learning_rate"), std::string::npos) << result.error().message;
  }
  EXPECT_FALSE(read_newest_checkpoint(folder_.path() / "a").value().has_value());
}

TEST(Schedule, rates_are_those_of_transformers_get_scheduler) {
  const LearningRate cosine{1.0, Schedule::cosine, 2, 10}, linear{1.0, Schedule::linear, 2, 10};
  EXPECT_DOUBLE_EQ(cosine.at(0), 0);
  EXPECT_DOUBLE_EQ(cosine.at(1), 0.5);
  EXPECT_DOUBLE_EQ(cosine.at(6), 0.5);
  EXPECT_DOUBLE_EQ(linear.at(4), 0.75);
}

TEST(Options, strings_are_read_as_what_they_stand_for) {
  auto values = job::Hyperparameters::from_json({{"lora_dropout", "0.1"}}, "hyperparameters.json").value();
  EXPECT_DOUBLE_EQ(parse_options(values)->lora.dropout, 0.1);
  values = job::Hyperparameters::from_json({{"lora_dropout", 1}}, "hyperparameters.json").value();
  EXPECT_EQ(parse_options(values).error().code, ErrorCode::invalid_argument);
  values = job::Hyperparameters::from_json({{"epochs", "2"}, {"target_modules", "[\"q_proj\",\"v_proj\"]"}}, "h").value();
  EXPECT_EQ(parse_options(values)->lora.targets.size(), 2u);
  for (const auto& [text, layers] : std::map<std::string, std::vector<std::int64_t>>{{"3", {3}}, {"[0, 3]", {0, 3}}}) {
    values = job::Hyperparameters::from_json({{"layers_to_transform", text}}, "h").value();
    EXPECT_EQ(parse_options(values)->lora.layers, layers);
  }
  values = job::Hyperparameters::from_json({{"layers_to_transform", "-1"}}, "h").value();
  EXPECT_EQ(parse_options(values).error().code, ErrorCode::invalid_argument);
}

// What training_config.yaml leaves out is what a job leaves out.
TEST(Options, defaults_are_those_of_the_configuration_s_schema) {
  const auto schema = parse_json(read_text_file(std::filesystem::path(REDOUBT_SOURCE_DIR) / "config/schema/training_config.schema.json").value(), "schema").value();
  Json defaults = Json::object();
  for (const auto& [name, property] : schema["properties"].items())
    if (property.contains("default")) defaults[name] = property["default"];
  for (const char* of_the_job : {"validation_fraction", "memory_gib_max", "hours_max", "instance_count"}) defaults.erase(of_the_job);
  const auto all_of = [](const Json& values) {
    const auto o = parse_options(job::Hyperparameters::from_json(values, "hyperparameters.json").value()).value();
    Json all = identity_of(o);
    all.update({{"accumulation_steps", o.accumulation_steps}, {"max_length", o.data.max_length}, {"loss_on", static_cast<int>(o.data.loss_on)}, {"on_too_long", static_cast<int>(o.data.on_too_long)},
                {"checkpoint_steps", o.checkpoint_steps}, {"pass_rows_max", o.pass_rows_max}, {"gradient_checkpointing", o.gradient_checkpointing}, {"threads", o.threads}});
    return all;
  };
  EXPECT_GE(defaults.size(), 30u);
  EXPECT_EQ(all_of(defaults), all_of(Json::object()));
}

}  // namespace
}  // namespace redoubt::engine::train
