// SPDX-License-Identifier: Apache-2.0
#include "engine/evaluate/entry.h"

#include <algorithm>

#include "base/file.h"
#include "engine/evaluate/evaluator.h"
#include "engine/evaluate/inputs.h"

namespace redoubt::engine::evaluate {
namespace {

struct JobOptions {
  std::int64_t batch_size = 0;   // examples in one pass; 0: as many as fit
  std::int64_t threads = 0;      // 0: all
  std::int64_t max_length = 0;   // 0: the model's context
  std::int64_t generations = 0;  // examples to answer for a person to read
  std::int64_t generation_tokens = 128;
  model::Precision precision = model::Precision::bf16;
};

Result<JobOptions> parse_options(const job::Hyperparameters& values) {
  TRY(values.expect_only({"batch_size", "dtype", "threads", "max_length", "generations", "generation_tokens"}));
  JobOptions o;
  o.batch_size = TRY(values.integer("batch_size", 0, 0, 65536));
  o.threads = TRY(values.integer("threads", 0, 0, 1024));
  o.max_length = TRY(values.integer("max_length", 0, 0, 1 << 24));
  o.generations = TRY(values.integer("generations", 0, 0, 10000));
  o.generation_tokens = TRY(values.integer("generation_tokens", o.generation_tokens, 1, 1 << 20));
  o.precision =
      TRY(values.choice("dtype", "bf16", {"bf16", "fp32"})) == "bf16" ? model::Precision::bf16 : model::Precision::fp32;
  return o;
}

// The likeliest continuation of a prompt, up to an end token.
Result<std::vector<std::int32_t>> answer_greedily(const model::CausalModel& base, const model::LoraWeights* lora,
                                                  std::span<const std::int32_t> prompt, std::int64_t tokens_max) {
  const auto& config = base.config();
  tokens_max = std::min(tokens_max, config.context_length - std::ssize(prompt));
  model::KeyValueCache cache(config, base.precision(), std::ssize(prompt) + tokens_max);
  std::vector<std::int32_t> answer;
  auto logits = TRY(base.prefill(prompt, cache, lora));
  while (std::ssize(answer) < tokens_max) {
    const auto token = static_cast<std::int32_t>(logits.argmax().item<std::int64_t>());
    if (std::find(config.end_tokens.begin(), config.end_tokens.end(), token) != config.end_tokens.end()) break;
    answer.push_back(token);
    const model::DecodeStep step{token, &cache, lora};
    if (std::ssize(answer) < tokens_max) logits = TRY(base.decode({&step, 1})).select(0, 0);
  }
  return answer;
}

Status write_generations(const job::Paths& paths, const Inputs& inputs, const model::LoraWeights* lora,
                         std::span<const data::Example> examples, const JobOptions& options, job::EventWriter& events) {
  std::string lines;
  const auto count = std::min(options.generations, std::ssize(examples));
  for (std::int64_t i = 0; i < count; ++i) {
    const auto& example = examples[static_cast<std::size_t>(i)];
    const auto ids = std::span(example.ids);
    const auto prompt = ids.first(static_cast<std::size_t>(example.answer_start));
    const auto answer = TRY(answer_greedily(*inputs.base, lora, prompt, options.generation_tokens));
    lines += dump_json({{"index", i},
                        {"prompt", TRY(inputs.tokenizer->decode(prompt))},
                        {"expected", TRY(inputs.tokenizer->decode(ids.subspan(prompt.size())))},
                        {"generated", TRY(inputs.tokenizer->decode(answer))}}) +
             "\n";
    events.write("progress", {{"label", "generate"}, {"done", i + 1}, {"total", count}});
  }
  return write_file(paths.output_data() / "generations.jsonl", lines);
}

std::string per_example_lines(const Evaluation& evaluation, std::span<const data::Example> examples) {
  std::string lines;
  for (std::size_t i = 0; i < examples.size(); ++i) {
    const auto& score = evaluation.examples[i];
    lines += dump_json({{"index", i},
                        {"line", examples[i].source_line},
                        {"tokens", score.tokens},
                        {"correct", score.correct},
                        {"log_likelihood", score.log_likelihood}}) +
             "\n";
  }
  return lines;
}

Status evaluate_job(const job::Paths& paths) {
  c10::InferenceMode guard;
  const auto options = TRY(parse_options(TRY(job::Hyperparameters::read(paths.hyperparameters()))));
  set_threads(options.threads);
  const auto inputs = TRY(load_model(paths, options.precision));
  const auto examples = TRY(load_channel(paths, "eval", inputs, options.max_length));
  const auto adapter = TRY(load_adapter(paths, inputs.base->config()));
  model::LoraWeights working;
  if (adapter) adapter->write_working(working, options.precision);
  const auto* lora = adapter ? &working : nullptr;

  job::EventWriter events;
  const auto truncated = report_truncated("eval", examples, events);
  const auto progress = [&](std::int64_t done, std::int64_t total) {
    events.write("progress", {{"label", "evaluate"}, {"done", done}, {"total", total}});
  };
  const auto evaluation =
      evaluate(*inputs.base, lora, examples, {.examples_max = options.batch_size, .progress = progress});
  TRY(check_finite(evaluation, examples, "eval.jsonl"));
  Json result = to_json(evaluation);
  result["truncated"] = truncated;
  TRY(make_folder(paths.output_data()));
  TRY(write_file(paths.output_data() / "evaluation.json", dump_json(result) + "\n"));
  TRY(write_file(paths.output_data() / "per_example.jsonl", per_example_lines(evaluation, examples)));
  if (options.generations > 0) TRY(write_generations(paths, inputs, lora, examples, options, events));
  events.write("result", std::move(result));
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
