// SPDX-License-Identifier: Apache-2.0
#include "engine/evaluate/entry.h"

#include <algorithm>
#include <cstdio>

#include "base/file.h"
#include "engine/evaluate/inputs.h"
#include "engine/evaluate/report.h"

namespace redoubt::engine::evaluate {
namespace {

struct JobOptions {
  data::DataOptions data = {};
  std::int64_t batch_size = 0;   // examples in one pass; 0: as many as fit
  std::int64_t threads = 0;      // 0: all
  std::int64_t generations = 0;  // rows whose question the model answers by itself
  std::int64_t generation_tokens = 128;
  statistics::BootstrapOptions bootstrap = {};
  generate::ModelOptions model = {};
};

Result<JobOptions> parse_options(const job::Hyperparameters& values) {
  std::vector<std::string> known = {"batch_size", "dtype", "weights", "threads", "generations", "generation_tokens", "bootstrap_resamples", "bootstrap_seed"};
  known.insert(known.end(), data::data_option_names().begin(), data::data_option_names().end());
  TRY(values.expect_only(known));
  JobOptions o;
  o.data = TRY(data::parse_data_options(values));
  o.batch_size = TRY(values.integer("batch_size", 0, 0, 65536));
  o.threads = TRY(values.integer("threads", 0, 0, 1024));
  o.generations = TRY(values.integer("generations", 0, 0, 1'000'000));
  o.generation_tokens = TRY(values.integer("generation_tokens", o.generation_tokens, 1, 1 << 20));
  o.bootstrap.resamples = TRY(values.integer("bootstrap_resamples", o.bootstrap.resamples, 0, 1'000'000));
  o.bootstrap.seed = static_cast<std::uint64_t>(TRY(values.integer("bootstrap_seed", static_cast<std::int64_t>(o.bootstrap.seed), 0, INT64_MAX)));
  o.model = TRY(generate::model_options(values));
  return o;
}

// What stands before a text's first token, as lm-evaluation-harness chooses it.
std::optional<std::int32_t> prefix_of(const generate::LoadedModel& model, const chat_template::ChatTemplate::SpecialText& special) {
  if (const auto bos = model.tokenizer->id_of(special.bos_token)) return bos;
  if (const auto eos = model.tokenizer->id_of(special.eos_token)) return eos;
  if (!model.end_tokens.empty()) return model.end_tokens.front();
  return std::nullopt;
}

Result<EvalData> load_data(const job::Paths& paths, const generate::LoadedModel& model, const data::DataOptions& options) {
  const auto& config = model.base->config();
  EvalLoad load;
  load.examples = {options.max_length > 0 ? std::min(options.max_length, config.context_length) : config.context_length, options.loss_on, options.on_too_long,
                   static_cast<std::int32_t>(config.vocabulary), paths.root};
  const auto special = TRY(chat_template::read_special_text(paths.channel("model")));
  load.prefix = prefix_of(model, special);
  const auto end_token = data::end_of_text(*model.tokenizer, special.eos_token, model.end_tokens);
  const auto files = TRY(data::channel_files(paths.channel("eval"), "eval"));
  return load_rows(files, {*model.tokenizer, model.chat_template ? &*model.chat_template : nullptr, seconds_now(), end_token}, load);
}

Status evaluate_job(const job::Paths& paths) {
  c10::InferenceMode guard;
  const auto options = TRY(parse_options(TRY(job::Hyperparameters::read(paths.hyperparameters()))));
  set_threads(options.threads);
  const auto model = TRY(generate::load_model(paths.channel("model"), TRY(generate::adapter_folders(paths.channel("adapter"), {})), options.model));
  const auto* lora = model.default_adapter > 0 ? &model.adapters[model.default_adapter - 1].weights : nullptr;
  const auto data = TRY(load_data(paths, model, options.data));

  job::EventWriter events;
  report_cuts("eval", data.pieces, events);
  const auto progress = [&](const char* label) {
    return [&events, label](std::int64_t done, std::int64_t total) { events.write("progress", {{"label", label}, {"done", done}, {"total", total}}); };
  };
  const auto scores = TRY(evaluate(*model.base, lora, data.pieces, {.examples_max = options.batch_size, .progress = progress("evaluate")})).examples;
  TRY(check_finite(scores, data.pieces, "eval.jsonl"));
  Measured measured{data, scores, fold(data, scores), {}};
  if (options.generations > 0)
    measured.generations = TRY(generate_answers(model, data, {.rows_max = options.generations, .tokens_max = options.generation_tokens, .progress = progress("generate")}));

  const Json result = evaluation_json(measured, options.bootstrap);
  TRY(make_folder(paths.output_data()));
  TRY(write_file(paths.output_data() / "evaluation.json", dump_json(result) + "\n"));
  TRY(write_file(paths.output_data() / "per_example.jsonl", per_example_lines(measured)));
  if (options.generations > 0) TRY(write_file(paths.output_data() / "generations.jsonl", generation_lines(measured)));
  events.write("result", result);
  return {};
}

}  // namespace

Status run_evaluate(const std::filesystem::path& root) {
  const job::Paths paths{root};
  auto status = evaluate_job(paths);
  // The job's own failure is what counts, also when it can't be written down.
  if (!status) (void)job::write_failure(paths, status.error());
  return status;
}

}  // namespace redoubt::engine::evaluate
