// SPDX-License-Identifier: Apache-2.0
//
// redoubt train, eval, tokenize (and generate, in generate_command.cc): the engine in the sandbox over a user's own folders, without a workspace unless the data
// are a version of the vault.
#include <fmt/format.h>

#include <iostream>

#include "base/file.h"
#include "base/memory_object.h"
#include "cli/commands.h"
#include "cli/engine_job.h"
#include "cli/vault_data.h"
#include "crypto/hash.h"
#include "pipeline/config.h"
#include "stages/evaluate/evaluate.h"
#include "stages/train/train.h"
#include "vault/job_files.h"

namespace redoubt::cli {
namespace {

namespace fs = std::filesystem;
using provider::JobFile;
using provider::JobSpec;

struct EngineOptions {
  std::string config, model, adapter, data, eval_data, output, thresholds, per_example, dtype = "bf16", weights = "bf16";
  std::string compare, generated, loss_on = "answer", too_long = "truncate";
  int max_length = 512, generations = 0, generation_tokens = 128, bootstrap = 1000;
  std::int64_t seed = 7;
  bool decode = false;
};

// Data out of a file or the vault, which needs a workspace. Both must outlive the job.
struct DataFiles {
  Invocation& invocation;
  std::unique_ptr<Session> session = {};

  Result<std::vector<JobFile>> open(const std::string& named, const std::string& channel, Json& about) {
    if (!names_vault_data(named)) return data_file(named, channel);
    if (session == nullptr) {
      session = TRY(Session::open(invocation.global, Duty::operate));
      TRY(session->require(governance::Permission::run_pipeline));
    }
    const auto data = TRY(find_vault_data(*session, named));
    about[channel] = data.to_json();
    return std::vector<JobFile>{{channel + (data.file.path.ends_with(".csv") ? ".csv" : ".jsonl"), data.open}};
  }
};

// What was evaluated, named as a workspace would name it.
Status add_digests(const EngineOptions& options, const JobSpec& spec, Json& result) {
  result["model_digest"] = TRY(vault::artifact_digest("model", spec.channels.at("model"))).tagged();
  if (!options.adapter.empty()) result["adapter_digest"] = TRY(vault::artifact_digest("adapter", spec.channels.at("adapter"))).tagged();
  // A version of the vault is read once, by the job: its digest is known.
  if (result.contains("vault")) {
    result["data_digest"] = result["vault"]["eval"]["sha256"];
    return {};
  }
  const auto data = TRY(FileReader::open(options.data));
  RandomAccessSource source(*data);
  result["data_digest"] = TRY(crypto::sha256_of(source)).tagged();
  return {};
}

Status add_model(const EngineOptions& options, JobSpec& spec) {
  spec.channels["model"] = TRY(model_files(options.model));
  if (!options.adapter.empty()) spec.channels["adapter"] = TRY(model_files(options.adapter));
  return {};
}

Result<int> train(Invocation& invocation, const EngineOptions& options, const Output& output) {
  if (is_there(options.output) && !TRY(list_folder(options.output)).empty()) {
    return fail(ErrorCode::already_exists, "the output folder is not empty", options.output, "name a new folder");
  }
  const Json training = TRY(pipeline::load_training_config(options.config));
  const std::string what = std::string(json_or(training, "method", "lora")) == "full" ? "model" : "adapter";
  JobSpec spec = stages::train::training_job(training, "");
  TRY(add_model(options, spec));
  TRY(stages::train::make_room(spec));
  DataFiles data{invocation};
  Json from_vault = Json::object();
  spec.channels["train"] = TRY(data.open(options.data, "train", from_vault));
  if (!options.eval_data.empty()) spec.channels["eval"] = TRY(data.open(options.eval_data, "eval", from_vault));
  EngineJobHandler handler(invocation.progress, "train");
  handler.keep_model = [&](const auto& files) { return write_files(files, options.output); };
  TRY(make_folder(options.output));  // found out before the work, not after it
  Json result = TRY(run_engine_job(std::move(spec), handler, invocation.progress, "training"));
  result[what] = options.output;
  if (!from_vault.empty()) result["vault"] = from_vault;
  output.result(result, fmt::format("the {} is in {}", what, options.output));
  return 0;
}

JobSpec evaluation_job(const EngineOptions& options, stages::evaluate::Options job) {
  job.dtype = options.dtype;
  job.weights = options.weights;
  job.max_length = options.max_length;
  job.generations = options.generations;
  job.generation_tokens = options.generation_tokens;
  JobSpec spec = stages::evaluate::evaluation_job(job, "");
  spec.hyperparameters.update({{"loss_on", options.loss_on}, {"on_too_long", options.too_long}, {"bootstrap_resamples", options.bootstrap}, {"bootstrap_seed", options.seed}});
  return spec;
}

// What would only be missed after the work.
Status check_files(const EngineOptions& options) {
  if (!options.compare.empty() && !is_plain_file(options.compare))
    return fail(ErrorCode::not_found, "no such file", options.compare, "'redoubt eval --per-example FILE' writes it for the other model");
  if (!options.generated.empty() && options.generations == 0)
    return fail(ErrorCode::invalid_argument, "no answer is generated", "--generated", "say how many rows are answered: --generate N");
  for (const auto& file : {options.per_example, options.generated}) {
    if (file.empty()) continue;
    const auto folder = fs::absolute(file).parent_path();
    if (!is_folder(folder)) return fail(ErrorCode::not_found, "no such folder", folder.string(), "make it first");
    if (is_folder(file)) return fail(ErrorCode::invalid_argument, "a folder stands where the file would", file, "name a file");
  }
  return {};
}

// With the file that --compare names; nothing without one. not_worse_than says what is compared, else the loss.
Result<std::optional<stages::evaluate::Comparison>> compare(const EngineOptions& options, const stages::evaluate::Thresholds& thresholds, const std::string& per_example) {
  if (options.compare.empty()) return std::nullopt;
  const auto theirs = TRY(read_text_file(options.compare, 1ull << 30));
  const auto rule = thresholds.not_worse_than.value_or(stages::evaluate::NotWorseThan());
  return std::optional(TRY(stages::evaluate::compare(per_example, "this evaluation", theirs, options.compare, rule)));
}

std::string metrics_table(const Json& result) {
  Table table{{"METRIC", "VALUE", "95 % INTERVAL"}, {}};
  const Json intervals = json_or(result, "intervals", Json::object());
  for (const char* metric : {"examples", "tokens", "eval_loss", "perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte", "accuracy", "acc", "acc_norm", "acc_bytes",
                             "generated", "exact_match", "rouge_l", "bleu", "chrf"}) {
    if (!result.contains(metric)) continue;
    const Json range = json_or(intervals, metric, Json::array());
    table.rows.push_back({metric, dump_json(result[metric]), range.size() == 2 ? fmt::format("{:.4g} to {:.4g}", range[0].get<double>(), range[1].get<double>()) : ""});
  }
  return render(table);
}

int exit_code_of_verdict(stages::evaluate::Verdict verdict) {
  if (verdict == stages::evaluate::Verdict::fail) return exit_code_of(ErrorCode::gate_refused);
  return verdict == stages::evaluate::Verdict::undecided ? exit_code_of(ErrorCode::undecided) : 0;
}

Result<int> evaluate(Invocation& invocation, const EngineOptions& options, const Output& output) {
  stages::evaluate::Options job;
  if (!options.thresholds.empty()) job.thresholds = TRY(pipeline::load_thresholds(options.thresholds));
  if (job.thresholds.not_worse_than && options.compare.empty()) {
    return fail(ErrorCode::invalid_argument, "not_worse_than needs another model's evaluation", options.thresholds,
                "name it with --compare FILE, which 'redoubt eval --per-example FILE' wrote for that model on the same data");
  }
  TRY(check_files(options));
  JobSpec spec = evaluation_job(options, job);
  TRY(add_model(options, spec));
  TRY(stages::evaluate::make_room(spec));
  DataFiles data{invocation};
  Json from_vault = Json::object();
  spec.channels["eval"] = TRY(data.open(options.data, "eval", from_vault));
  EngineJobHandler handler(invocation.progress, "evaluate");
  Json digests = Json::object();
  if (!from_vault.empty()) digests["vault"] = from_vault;
  TRY(add_digests(options, spec, digests));
  TRY(run_engine_job(std::move(spec), handler, invocation.progress, "evaluation"));
  Json result = TRY(parse_json(handler.outputs["evaluation.json"], "evaluation.json"));
  if (!options.per_example.empty()) TRY(write_file(options.per_example, handler.outputs["per_example.jsonl"], FileMode::readable_by_all));
  if (!options.generated.empty()) TRY(write_file(options.generated, handler.outputs["generations.jsonl"], FileMode::readable_by_all));
  result.update(digests);
  result["gate"] = nullptr;
  result["failures"] = Json::array();
  int exit_code = 0;
  std::string text = metrics_table(result);
  const auto comparison = TRY(compare(options, job.thresholds, handler.outputs["per_example.jsonl"]));
  if (comparison) {
    result["comparison"] = comparison->to_json();
    text += fmt::format("compared: {}\n", comparison->explanation());
  }
  if (!options.thresholds.empty()) {
    const auto gate = stages::evaluate::apply_gate(job.thresholds, result, job.thresholds.not_worse_than ? &*comparison : nullptr);
    result.update(gate.to_json());
    text += fmt::format("gate: {} ({})\n", to_string(gate.verdict), gate.explanation);
    exit_code = exit_code_of_verdict(gate.verdict);
  }
  output.result(result, text);
  return exit_code;
}

// Standard input as a job's file: a job reads it once, so it is kept in memory.
Result<std::vector<JobFile>> stdin_lines() {
  auto text = std::make_shared<std::string>(std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>());
  return std::vector<JobFile>{{"lines.jsonl", [text]() -> Result<std::unique_ptr<RandomAccess>> { return std::make_unique<MemoryObject>(to_bytes(*text)); }}};
}

Result<int> tokenize(Invocation& invocation, const EngineOptions& options, const Output&) {
  JobSpec spec;
  spec.entry_point = "tokenize";
  spec.hyperparameters = {{"decode", options.decode}};
  TRY(add_model(options, spec));
  spec.channels["text"] = TRY(stdin_lines());
  EngineJobHandler handler(invocation.progress, "tokenize");
  TRY(run_engine_job(std::move(spec), handler, invocation.progress, "tokenization"));
  std::cout << handler.outputs["ids.jsonl"] << std::flush;
  return 0;
}

}  // namespace

void add_engine_commands(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<EngineOptions>();
  const auto add = [&](const char* name, const char* help, auto body) {
    CLI::App* command = add_command(app, invocation, name, help, [&invocation, options, body](const Output& output) { return body(invocation, *options, output); });
    command->add_option("--model", options->model, "a Hugging Face model folder")->required();
    return command;
  };
  CLI::App* train_command = add("train", "Fine-tunes a model with LoRA in the sandbox", train);
  train_command->add_option("--config", options->config, "a training_config.yaml")->required();
  train_command->add_option("--data", options->data, "JSON lines or CSV to train on, or a version of the vault: vault:NAME[@VERSION][#FILE]")->required();
  train_command->add_option("--eval-data", options->eval_data, "JSON lines held out to choose the best epoch; or of the vault");
  train_command->add_option("-o,--output", options->output, "the folder of the adapter, or of the model where all of it is trained")->required();

  CLI::App* eval_command = add("eval", "Evaluates a model in the sandbox and applies thresholds", evaluate);
  eval_command->add_option("--adapter", options->adapter, "a PEFT adapter folder");
  eval_command->add_option("--data", options->data, "JSON lines or CSV that no trainer saw, or a version of the vault: vault:NAME[@VERSION][#FILE]")->required();
  eval_command->add_option("--threshold-file", options->thresholds, "a thresholds.yaml; exit status 3 when it is not met");
  eval_command->add_option("--per-example", options->per_example, "write a JSON line for each example to this file");
  eval_command->add_option("--dtype", options->dtype, "bf16 or fp32")->check(CLI::IsMember({"bf16", "fp32"}));
  eval_command->add_option("--weights", options->weights, "bf16 (default, as loaded), int8 or int4, as they will be served")->check(CLI::IsMember({"bf16", "int8", "int4"}));
  eval_command->add_option("--max-length", options->max_length, "tokens of an example")->check(CLI::Range(8, 131072));

  eval_command->add_option("--loss-on", options->loss_on, "which tokens count: answer (the last), answers (all turns of the assistant), all, or marked ones")
      ->check(CLI::IsMember({"answer", "answers", "all", "marked"}));
  eval_command->add_option("--on-too-long", options->too_long, "a row with an answer that is longer than --max-length: truncate, drop or refuse")->check(CLI::IsMember({"truncate", "drop", "refuse"}));
  eval_command->add_option("--generate", options->generations, "let the model answer that many rows by itself, for exact match, ROUGE-L, BLEU and chrF")->check(CLI::Range(0, 1000000));
  eval_command->add_option("--generate-tokens", options->generation_tokens, "at most so many tokens an answer")->check(CLI::Range(1, 131072));
  eval_command->add_option("--generated", options->generated, "write the generated answers to this file, a JSON line each");
  eval_command->add_option("--bootstrap", options->bootstrap, "resamples of the confidence intervals; 0: none")->check(CLI::Range(0, 1000000));
  eval_command->add_option("--seed", options->seed, "of the resampling")->check(CLI::NonNegativeNumber);
  eval_command->add_option("--compare", options->compare, "another model's --per-example file on the same data; not_worse_than of the thresholds decides on it");

  add_generate_command(app, invocation);

  CLI::App* tokenize_command = add("tokenize", "Token ids of JSON strings, a line each, from stdin", tokenize);
  tokenize_command->add_flag("--decode", options->decode, "the other way: lists of ids to strings");
}

}  // namespace redoubt::cli
