// SPDX-License-Identifier: Apache-2.0
//
// LoRA training: epochs of shuffled batches, evaluation after each, early stop, the best adapter kept, exact resume.
#pragma once

#include <functional>
#include <span>

#include "engine/data/example_store.h"
#include "engine/distributed/group.h"
#include "engine/model/causal_model.h"
#include "engine/train/checkpoint.h"
#include "engine/train/options.h"
#include "engine/train/trainable.h"

namespace redoubt::engine::train {

struct TrainData {
  data::Examples train, eval;  // eval may be empty: then the last adapter is the best
  std::int64_t now = 0;                        // when the run began, seconds since 1970: kept in its checkpoints
  Json identity = {};                          // what must be equal to resume, beside the options
  // Of the weights that the run began with, which must be equal too. Asked for when it first matters, at a checkpoint or among several
  // ranks: the first step does not wait for it. None: nothing is compared.
  std::function<Result<std::string>()> model_digest = {};
  bool starts_from_adapter = false;            // which is then the reference of preferences, else the base is
};

struct TrainHooks {
  // Each event of the job contract: plan, step, epoch.
  std::function<void(std::string_view, const Json&)> event = [](std::string_view, const Json&) {};
  // Called after each step with the steps done; true stops the run there, as a kill would. For tests.
  std::function<bool(std::int64_t)> stop_after = {};
};

struct TrainOutcome {
  std::int64_t steps = 0, best_epoch = 0;
  std::optional<double> best_loss = {};
  bool stopped_early = false, stopped_by_hook = false;
  Json metrics;  // all step and epoch events
};

struct TrainResult : TrainOutcome {
  model::Adapter adapter;  // the best
};

// Resumes from the newest checkpoint in `checkpoints` if there is one, and writes them there. A loss or gradient that is
// no number stops the run with the step and example named; the last checkpoint stays.
Result<TrainResult> train(const model::CausalModel& base, const TrainData& data, const TrainOptions& options,
                          const std::filesystem::path& checkpoints, const TrainHooks& hooks = {});

// The same as one rank of several: all call it with equal options and data, or it ends by naming what differs. The leader
// alone reads and writes checkpoints and reports events; all answer the same adapter, bit for bit.
Result<TrainResult> train(const model::CausalModel& base, const TrainData& data, const TrainOptions& options,
                          const std::filesystem::path& checkpoints, const TrainHooks& hooks, distributed::Group& group);

// The same for any Trainable, which holds the best values in the end.
Result<TrainOutcome> run(const model::CausalModel& base, const TrainData& data, const TrainOptions& options,
                         const std::filesystem::path& checkpoints, const TrainHooks& hooks, distributed::Group& group,
                         Trainable& trainable);

// The order of the examples in an epoch: a Fisher-Yates shuffle by a generator seeded with both numbers.
std::vector<std::size_t> order_of_epoch(std::size_t examples, std::uint64_t seed, std::int64_t epoch);

}  // namespace redoubt::engine::train
