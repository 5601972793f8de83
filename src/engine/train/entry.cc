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
#include "engine/train/memory.h"
#include "engine/train/trainer.h"

namespace redoubt::engine::train {
namespace {

std::string digest_of(const model::Weights& weights) {
  crypto::Sha256 hash;
  for (const auto& tensor : weights.tensors())
    hash.update({static_cast<const std::uint8_t*>(tensor.const_data_ptr()), tensor.nbytes()});
  return hash.finish().hex();
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

Json result_of(const TrainResult& result) {
  Json event = {{"steps", result.steps}, {"best_epoch", result.best_epoch}, {"stopped_early", result.stopped_early}};
  if (result.best_loss) event["eval_loss"] = *result.best_loss;
  return event;
}

// The processors that this process may keep busy when the job doesn't say: local ranks share the machine.
std::int64_t threads_of(const TrainOptions& options, std::size_t local_ranks) {
  if (options.threads > 0 || local_ranks == 1) return options.threads;
  return std::max<std::int64_t>(1, std::thread::hardware_concurrency() / static_cast<std::int64_t>(local_ranks));
}

// What the leader alone leaves behind.
Status write_results(const job::Paths& paths, const TrainResult& result, const std::string& base) {
  TRY(result.adapter.save(paths.model(), base));
  TRY(make_folder(paths.output_data()));
  return write_file(paths.output_data() / "metrics.jsonl", lines_of(result.metrics));
}

Status train_job(const job::Paths& paths, const job::Hyperparameters& values, const TrainOptions& options,
                 distributed::Group& group) {
  c10::InferenceMode guard;
  const auto base = TRY(base_name(paths, values));
  // Weights that do not fit are found out before they are read.
  if (const auto config = model::read_config(paths.channel("model")))
    TRY(check_memory(plan_memory(*config, options, 0, {}), options.processes_here, memory_limit()));
  const auto inputs = TRY(evaluate::load_model(paths, options.precision));
  const auto train_examples = TRY(evaluate::load_channel(paths, "train", inputs, options.data));
  data::Examples eval_examples;
  if (paths.has_channel("eval")) eval_examples = TRY(evaluate::load_channel(paths, "eval", inputs, options.data));

  job::EventWriter events;
  if (group.leads()) {
    evaluate::report_cuts("train", train_examples, events);
    evaluate::report_cuts("eval", eval_examples, events);
  }
  TrainHooks hooks;
  hooks.event = [&](std::string_view name, const Json& members) { events.write(name, members); };
  const TrainData data{train_examples,
                       eval_examples,
                       {{"train", train_examples.digest()},
                        {"eval", eval_examples.digest()},
                        {"model", digest_of(inputs.base->weights())}}};
  const auto result = TRY(train(*inputs.base, data, options, paths.checkpoints(), hooks, group));
  if (group.leads()) TRY(write_results(paths, result, base));
  TRY(group.wait_for_all());  // no rank has done its work before all have
  if (group.leads()) events.write("result", result_of(result));
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
