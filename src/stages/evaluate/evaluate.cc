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

constexpr std::uint64_t kEvaluationBytesMax = 1 << 20;

Result<Json> read_metrics(vault::ArtifactStore& store, const Digest& artifact) {
  for (const auto& file : TRY(vault::job_files(store, artifact))) {
    if (file.path != "evaluation.json") continue;
    const auto reader = TRY(file.open());
    RandomAccessSource source(*reader);
    return parse_json(to_text(TRY(read_all(source, kEvaluationBytesMax))), "evaluation.json");
  }
  return fail(ErrorCode::internal, "the evaluator ended without evaluation.json");
}

struct Measured {
  Digest output;
  Json metrics;
  Json system;
};

Result<Measured> measure(const StepPlan& plan, bool tuned, const Options& options, Deps& deps) {
  provider::JobSpec spec = evaluation_job(options, plan.inputs.at("image").tagged());
  spec.key = governance::StepRecorder::input_key(governance::EvaluateStep::kName, plan).hex() + (tuned ? "-tuned" : "-base");
  spec.channels["model"] = TRY(vault::job_files(deps.store, plan.inputs.at("model")));
  spec.channels["eval"] = TRY(vault::job_files(deps.store, plan.inputs.at("data")));
  if (tuned) spec.channels["adapter"] = TRY(vault::job_files(deps.store, plan.inputs.at("adapter")));
  Handler handler(deps, tuned ? "evaluate tuned" : "evaluate base", tuned ? "evaluation" : "base-evaluation");
  TRY(governance::check_job(TRY(deps.runner.run(spec, handler)), "evaluation"));
  if (!handler.output) return fail(ErrorCode::internal, "the evaluator ended without output");
  auto metrics = TRY(read_metrics(deps.store, *handler.output));
  return Measured{*handler.output, std::move(metrics), handler.system()};
}

Result<StepProduct> evaluate(const StepPlan& plan, const Options& options, Deps& deps) {
  const Measured base = TRY(measure(plan, false, options, deps));
  const Measured tuned = TRY(measure(plan, true, options, deps));
  const GateResult gate = apply_gate(options.thresholds, tuned.metrics);
  Json result = gate.to_json();
  result["explanation"] = gate.explanation;
  result["metrics"] = tuned.metrics;
  result["base_metrics"] = base.metrics;
  if (!tuned.system.empty()) result["system"] = tuned.system;
  return StepProduct{{{"evaluation", tuned.output}, {"base_evaluation", base.output}}, std::move(result)};
}

}  // namespace

provider::JobSpec evaluation_job(const Options& options, const std::string& image) {
  provider::JobSpec spec;
  spec.image = image;
  spec.entry_point = "evaluate";
  spec.hyperparameters = {{"batch_size", 16}, {"dtype", options.dtype}, {"max_length", options.max_length},
                          {"generations", options.generations}, {"generation_tokens", 64}};
  return spec;
}

Result<governance::Evaluation> run(const governance::AcquiredModel& model, const governance::PreparedData& data,
                                   const governance::BuiltImage& image, const governance::TrainedAdapter& adapter,
                                   const Options& options, Deps& deps) {
  const Digest model_digest = TRY(model.output("model")), data_digest = TRY(data.output("eval"));
  const Digest image_digest = TRY(image.output("image")), adapter_digest = TRY(adapter.output("adapter"));
  const StepPlan plan{{{"model", model_digest}, {"data", data_digest}, {"image", image_digest}, {"adapter", adapter_digest}},
                      {{"thresholds", options.thresholds.to_json()}, {"dtype", options.dtype},
                       {"max_length", options.max_length}, {"generations", options.generations}}};
  return deps.recorder.run<governance::EvaluateStep>(plan, [&] { return evaluate(plan, options, deps); });
}

}  // namespace redoubt::stages::evaluate
