// SPDX-License-Identifier: Apache-2.0
#include "engine/train/entry.h"

#include "base/file.h"
#include "crypto/hash.h"
#include "engine/evaluate/evaluator.h"
#include "engine/evaluate/inputs.h"
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

Status train_job(const job::Paths& paths) {
  c10::InferenceMode guard;
  const auto values = TRY(job::Hyperparameters::read(paths.hyperparameters()));
  const auto options = TRY(parse_options(values));
  evaluate::set_threads(options.threads);
  const auto base = TRY(base_name(paths, values));
  const auto inputs = TRY(evaluate::load_model(paths, options.precision));
  const auto train_examples = TRY(evaluate::load_channel(paths, "train", inputs, options.data));
  data::Examples eval_examples;
  if (paths.has_channel("eval")) eval_examples = TRY(evaluate::load_channel(paths, "eval", inputs, options.data));

  job::EventWriter events;
  evaluate::report_cuts("train", train_examples, events);
  evaluate::report_cuts("eval", eval_examples, events);
  TrainHooks hooks;
  hooks.event = [&](std::string_view name, const Json& members) { events.write(name, members); };
  const TrainData data{train_examples,
                       eval_examples,
                       {{"train", train_examples.digest()},
                        {"eval", eval_examples.digest()},
                        {"model", digest_of(inputs.base->weights())}}};
  const auto result = TRY(train(*inputs.base, data, options, paths.checkpoints(), hooks));
  TRY(result.adapter.save(paths.model(), base));
  TRY(make_folder(paths.output_data()));
  TRY(write_file(paths.output_data() / "metrics.jsonl", lines_of(result.metrics)));
  events.write("result", result_of(result));
  return {};
}

}  // namespace

Status run_train(const std::filesystem::path& root) {
  const job::Paths paths{root};
  auto status = train_job(paths);
  // The job's own failure is what counts, also when it can't be written down.
  if (!status) (void)job::write_failure(paths, status.error());
  return status;
}

}  // namespace redoubt::engine::train
