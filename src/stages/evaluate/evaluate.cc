// SPDX-License-Identifier: Apache-2.0
#include "stages/evaluate/evaluate.h"

#include "governance/job_outcome.h"
#include "vault/job_files.h"

namespace redoubt::stages::evaluate {
namespace {

using governance::StepPlan;
using governance::StepProduct;
using provider::JobFile;

// Seals one evaluation's files and reads its numbers.
class Handler final : public governance::ProgressHandler {
 public:
  Handler(Deps& deps, std::string label, std::string kind)
      : ProgressHandler(deps.progress, std::move(label)), deps_(deps), kind_(std::move(kind)) {}

  Status on_output(const std::vector<JobFile>& files) override {
    output = TRY(vault::store_job_files(deps_.store, kind_, files));
    return {};
  }

  std::optional<Digest> output;

 private:
  Deps& deps_;
  std::string kind_;
};

constexpr std::uint64_t kEvaluationBytesMax = 1 << 20, kPerExampleBytesMax = 1ull << 30;

Result<std::string> read_output(vault::ArtifactStore& store, const Digest& artifact, const char* name, std::uint64_t bytes_max) {
  for (const auto& file : TRY(vault::job_files(store, artifact))) {
    if (file.path != name) continue;
    const auto reader = TRY(file.open());
    RandomAccessSource source(*reader);
    return to_text(TRY(read_all(source, bytes_max)));
  }
  return fail(ErrorCode::internal, std::string("the evaluator ended without ") + name);
}

// One of the models that are evaluated.
struct Subject {
  const char* name;     // "base", "tuned", "production"
  const char* kind;     // of its output
  const char* model;    // the plan's inputs
  const char* adapter;  // left out of the plan where there is none
};
constexpr Subject kBase{"base", "base-evaluation", "model", ""};
constexpr Subject kTuned{"tuned", "evaluation", "model", "adapter"};
constexpr Subject kTrainedWhole{"tuned", "evaluation", "trained_model", ""};
constexpr Subject kProduction{"production", "production-evaluation", "production_model", "production_adapter"};

struct Measured {
  Digest output;
  Json metrics;
  Json system;
};

Result<Measured> measure(const StepPlan& plan, const Subject& subject, const Options& options, Deps& deps) {
  provider::JobSpec spec = evaluation_job(options, plan.inputs.at("image").tagged());
  spec.key = governance::StepRecorder::input_key(governance::EvaluateStep::kName, plan).hex() + "-" + subject.name;
  spec.channels["model"] = TRY(vault::job_files(deps.store, plan.inputs.at(subject.model)));
  TRY(make_room(spec));
  spec.channels["eval"] = TRY(vault::job_files(deps.store, plan.inputs.at("data")));
  if (const auto adapter = plan.inputs.find(subject.adapter); adapter != plan.inputs.end()) spec.channels["adapter"] = TRY(vault::job_files(deps.store, adapter->second));
  Handler handler(deps, std::string("evaluate ") + subject.name, subject.kind);
  TRY(governance::check_job(TRY(deps.runner.run(spec, handler)), "evaluation", handler));
  if (!handler.output) return fail(ErrorCode::internal, "the evaluator ended without output");
  auto metrics = TRY(parse_json(TRY(read_output(deps.store, *handler.output, "evaluation.json", kEvaluationBytesMax)), "evaluation.json"));
  return Measured{*handler.output, std::move(metrics), handler.system()};
}

Result<Comparison> compare_outputs(const Digest& tuned, const Digest& production, const NotWorseThan& rule, Deps& deps) {
  const auto ours = TRY(read_output(deps.store, tuned, "per_example.jsonl", kPerExampleBytesMax));
  const auto theirs = TRY(read_output(deps.store, production, "per_example.jsonl", kPerExampleBytesMax));
  return compare(ours, "the tuned model's per_example.jsonl", theirs, "production's per_example.jsonl", rule);
}

Result<StepProduct> evaluate(const StepPlan& plan, const Options& options, Deps& deps) {
  const Measured base = TRY(measure(plan, kBase, options, deps));
  const Measured tuned = TRY(measure(plan, plan.inputs.contains(kTrainedWhole.model) ? kTrainedWhole : kTuned, options, deps));
  StepProduct product{{{"evaluation", tuned.output}, {"base_evaluation", base.output}}, Json::object()};
  std::optional<Comparison> comparison;
  if (options.production) {
    const Measured production = TRY(measure(plan, kProduction, options, deps));
    comparison = TRY(compare_outputs(tuned.output, production.output, *options.thresholds.not_worse_than, deps));
    product.outputs["production_evaluation"] = production.output;
    product.result = {{"production_metrics", production.metrics}, {"comparison", comparison->to_json()}};
  }
  const GateResult gate = apply_gate(options.thresholds, tuned.metrics, comparison ? &*comparison : nullptr);
  product.result.update(gate.to_json());
  product.result.update({{"explanation", gate.explanation}, {"metrics", tuned.metrics}, {"base_metrics", base.metrics}});
  if (!tuned.system.empty()) product.result["system"] = tuned.system;
  return product;
}

}  // namespace

provider::JobSpec evaluation_job(const Options& options, const std::string& image) {
  provider::JobSpec spec;
  spec.image = image;
  spec.entry_point = "evaluate";
  spec.hyperparameters = {{"dtype", options.dtype}, {"weights", options.weights}, {"max_length", options.max_length},
                          {"generations", options.generations}, {"generation_tokens", options.generation_tokens}};
  return spec;
}

Status make_room(provider::JobSpec& spec) {
  spec.memory_bytes_max += 2 * TRY(vault::bytes_of(spec.channels.at("model")));
  return {};
}

Result<governance::Evaluation> run(const governance::AcquiredModel& model, const governance::PreparedData& data,
                                   const governance::BuiltImage& image, const governance::TrainedModel& trained,
                                   const Options& options, Deps& deps) {
  const Digest model_digest = TRY(model.output("model")), data_digest = TRY(data.output("eval"));
  const auto weights = attest::trained_weights(trained.record());
  const Digest image_digest = TRY(image.output("image")), trained_digest = TRY(trained.output(weights.output));
  StepPlan plan{{{"model", model_digest}, {"data", data_digest}, {"image", image_digest}, {weights.input, trained_digest}},
                {{"thresholds", options.thresholds.to_json()}, {"dtype", options.dtype}, {"weights", options.weights},
                 {"max_length", options.max_length}, {"generations", options.generations}}};
  if (options.production) {
    plan.inputs["production_model"] = options.production->model;
    if (options.production->adapter) plan.inputs["production_adapter"] = *options.production->adapter;
    plan.parameters["production"] = options.production->version;
  }
  return deps.recorder.run<governance::EvaluateStep>(plan, [&] { return evaluate(plan, options, deps); });
}

}  // namespace redoubt::stages::evaluate
