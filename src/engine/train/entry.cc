// SPDX-License-Identifier: Apache-2.0
#include "engine/train/entry.h"

#include <cstdio>
#include <cstdlib>
#include <thread>

#include "base/file.h"
#include "base/terminal.h"
#include "crypto/hash.h"
#include "engine/distributed/join.h"
#include "engine/evaluate/evaluator.h"
#include "engine/evaluate/inputs.h"
#include "engine/train/full_weights.h"
#include "engine/train/memory.h"
#include "engine/train/preferences.h"
#include "engine/train/trainer.h"
#include "engine/train/weights_digest.h"

namespace redoubt::engine::train {
namespace {

std::string digest_of(const at::Tensor& tensor) {
  return crypto::sha256(ByteView(static_cast<const std::uint8_t*>(tensor.const_data_ptr()), tensor.nbytes())).hex();
}

// Of what a JSON file says, however it is laid out.
Result<std::string> digest_of_json(const std::filesystem::path& file) {
  const Json json = TRY(parse_json(TRY(read_text_file(file, 1 << 20)), file.string()));
  return crypto::sha256(view_of(dump_json(json))).hex();
}

// How the adapter names its base: as the platform says, or as the model names itself.
Result<std::string> base_name(const job::Paths& paths, const job::Hyperparameters& values) {
  const auto file = paths.channel("model") / "config.json";
  const Json config = TRY(parse_json(TRY(read_text_file(file, 1 << 20)), file.string()));
  const Json own = config.value("_name_or_path", Json(""));
  return values.text("redoubt_base_model", own.is_string() ? own.get<std::string>() : "");
}

std::string lines_of(const Json& metrics) {
  std::string lines;
  for (const auto& event : metrics) lines += dump_json(event) + "\n";
  return lines;
}

Json result_of(const TrainOutcome& result) {
  Json event = {{"steps", result.steps}, {"best_epoch", result.best_epoch}, {"stopped_early", result.stopped_early}};
  if (result.best_loss) event["eval_loss"] = *result.best_loss;
  return event;
}

// The processors that this process may keep busy when the job doesn't say: local ranks share the machine.
std::int64_t threads_of(const TrainOptions& options, std::size_t local_ranks) {
  if (options.threads > 0 || local_ranks == 1) return options.threads;
  return std::max<std::int64_t>(1, std::thread::hardware_concurrency() / static_cast<std::int64_t>(local_ranks));
}

Result<data::Examples> load(const job::Paths& paths, const char* channel, const evaluate::Inputs& inputs,
                            const TrainOptions& options) {
  if (options.loss == Loss::answers) return evaluate::load_channel(paths, channel, inputs, options.data);
  return load_preferences(paths, channel, inputs, options.data);
}

// The adapter that is trained: a new one, or the channel `adapter`, whose own rank and modules count.
Result<model::Adapter> start_adapter(const job::Paths& paths, const job::Hyperparameters& values, const TrainOptions& options,
                                     const model::CausalModel& base) {
  auto found = TRY(evaluate::load_adapter(paths, base));
  if (!found) return model::Adapter::create(base.config(), options.lora, options.seed, &base.weights());
  for (const char* key : {"lora_r", "lora_alpha", "lora_dropout", "target_modules", "layers_to_transform", "use_dora", "use_rslora", "rank_pattern", "alpha_pattern",
                          "init_lora_weights"})
    if (TRY(values.value(key)))
      return fail(ErrorCode::invalid_argument, std::string(key) + " is given, and an adapter to go on from as well", "hyperparameters",
                  "leave it out: the adapter's own counts");
  TRY(check_dropout(found->options(), paths.channel("adapter").string()));
  return std::move(*found);
}

// When the run began: a run that goes on reads its rows as it read them then, and all ranks read them alike.
Result<std::int64_t> start_of_run(const job::Paths& paths, distributed::Group& group, std::int64_t now) {
  if (group.leads()) now = TRY(read_start(paths.checkpoints())).value_or(now);
  TRY(group.take_from_leader({reinterpret_cast<std::uint8_t*>(&now), sizeof now}));
  return now;
}

// What the leader alone leaves behind.
Status write_metrics(const job::Paths& paths, const TrainOutcome& outcome) {
  TRY(make_folder(paths.output_data()));
  return write_file(paths.output_data() / "metrics.jsonl", lines_of(outcome.metrics));
}

// Trains and leaves the model; all that hangs on the method.
Result<TrainOutcome> train_method(const job::Paths& paths, const job::Hyperparameters& values, const TrainOptions& options,
                                  model::CausalModel& base, TrainData data, const TrainHooks& hooks,
                                  distributed::Group& group) {
  if (options.method == Method::full) {
    auto weights = FullWeights::of(base);
    FullTrainable trainable(base, weights);
    auto outcome = TRY(run(base, data, options, paths.checkpoints(), hooks, group, trainable));
    if (group.leads()) TRY(weights.save(paths.channel("model"), paths.model()));
    return outcome;
  }
  const auto name = TRY(base_name(paths, values));
  auto adapter = TRY(start_adapter(paths, values, options, base));
  if (!adapter.options().magnitude) base.pack_for_training();
  AdapterTrainable trainable(base, std::move(adapter), options.precision);
  data.starts_from_adapter = paths.has_channel("adapter");
  data.identity["adapter"] = data.starts_from_adapter ? digest_of(trainable.values()) : "";
  if (data.starts_from_adapter) data.identity["adapter_configuration"] = TRY(digest_of_json(paths.channel("adapter") / "adapter_config.json"));
  auto outcome = TRY(run(base, data, options, paths.checkpoints(), hooks, group, trainable));
  if (group.leads()) TRY(trainable.take().save(paths.model(), name, base.digest()));
  return outcome;
}

Status train_job(const job::Paths& paths, const job::Hyperparameters& values, const TrainOptions& options,
                 distributed::Group& group) {
  c10::InferenceMode guard;
  if (options.method == Method::full && paths.has_channel("adapter"))
    return fail(ErrorCode::unsupported, "method: full together with an adapter to go on from", paths.channel("adapter").string(),
                "merge the adapter into its base first (redoubt model merge), or use method: lora");
  // Weights that do not fit are found out before they are read.
  if (const auto config = model::read_config(paths.channel("model")))
    TRY(check_memory(plan_memory(*config, options, 0, {}), options.processes_here, memory_limit()));
  auto inputs = TRY(evaluate::load_model(paths, options.precision, options.weights));
  inputs.now = TRY(start_of_run(paths, group, inputs.now));
  const auto train_examples = TRY(load(paths, "train", inputs, options));
  data::Examples eval_examples;
  if (paths.has_channel("eval")) eval_examples = TRY(load(paths, "eval", inputs, options));
  else if (group.leads()) std::fputs("redoubt-engine: no rows are held out (--eval-data, the channel 'eval'): all epochs are done, and the last one is what is left\n", stderr);

  job::EventWriter events;
  if (group.leads()) {
    evaluate::report_cuts("train", train_examples, events);
    evaluate::report_cuts("eval", eval_examples, events);
  }
  TrainHooks hooks;
  hooks.event = [&](std::string_view name, const Json& members) { events.write(name, members); };
  TrainData data{train_examples, eval_examples, inputs.now};
  data.identity = {{"train", train_examples.digest()}, {"eval", eval_examples.digest()}};
  data.identity["configuration"] = TRY(digest_of_json(paths.channel("model") / "config.json"));
  data.model_digest = [&paths] { return digest_of_weights(paths.channel("model")); };
  const auto outcome = TRY(train_method(paths, values, options, *inputs.base, std::move(data), hooks, group));
  if (group.leads()) TRY(write_metrics(paths, outcome));
  TRY(group.wait_for_all());  // no rank has done its work before all have
  if (group.leads()) events.write("result", result_of(outcome));
  return {};
}

// A rank that this job started itself ends here: the job's files and its exit code are the leader's.
[[noreturn]] void end_child(const Status& status, std::size_t rank) {
  if (!status) {
    const auto& error = status.error();
    const std::string line = "redoubt-engine: rank " + std::to_string(rank) + ": " + error.message +
                             (error.where.empty() ? "" : ": " + error.where) + "\n";
    std::fputs(without_control_characters(line).c_str(), stderr);
  }
  std::_Exit(status ? 0 : 1);
}

Status run_ranks(const job::Paths& paths) {
  const auto values = TRY(job::Hyperparameters::read(paths.hyperparameters()));
  auto options = TRY(parse_options(values));
  const auto join_options = TRY(distributed::read_join_options(values));
  auto membership = TRY(distributed::join(paths, join_options, [](const char* name) { return std::getenv(name); }));
  options.processes_here = join_options.local_ranks;
  evaluate::set_threads(threads_of(options, join_options.local_ranks));
  const auto status = train_job(paths, values, options, membership.group);
  if (!status) membership.group.leave(status.error());
  if (membership.is_child) end_child(status, membership.group.rank());
  return status;
}

}  // namespace

Status run_train(const std::filesystem::path& root) {
  const job::Paths paths{root};
  auto status = run_ranks(paths);
  // The job's own failure is what counts, also when it can't be written down.
  if (!status) (void)job::write_failure(paths, status.error());
  return status;
}

}  // namespace redoubt::engine::train
