// SPDX-License-Identifier: Apache-2.0
#include "stages/train/train.h"

#include "governance/job_outcome.h"
#include "vault/job_files.h"

namespace redoubt::stages::train {
namespace {

using governance::StepPlan;
using governance::StepProduct;
using provider::JobFile;

// Seals checkpoints, weights and metrics as they come, and tells the person how far it is.
class Handler final : public governance::ProgressHandler {
 public:
  Handler(Deps& deps, std::string weights, std::string note)
      : ProgressHandler(deps.progress, "train"), deps_(deps), weights_(std::move(weights)), note_(std::move(note)) {}

  Status on_checkpoint(const std::string& name, const std::vector<JobFile>& files) override {
    std::vector<JobFile> named = files;
    for (auto& file : named) file.path = name + "/" + file.path;
    const auto digest = vault::store_job_files(deps_.store, "checkpoint", named);
    // The trainer keeps its newest checkpoint alone: one that vanished while it was read has a successor.
    if (!digest && digest.error().code == ErrorCode::not_found) return {};
    if (!digest) return fail(digest.error());
    return deps_.notes.save(note_, {{"checkpoint", digest->tagged()}});
  }
  Status on_model(const std::vector<JobFile>& files) override {
    outputs[weights_] = TRY(vault::store_job_files(deps_.store, weights_, files));
    return {};
  }
  Status on_output(const std::vector<JobFile>& files) override {
    outputs["metrics"] = TRY(vault::store_job_files(deps_.store, "metrics", files));
    return {};
  }

  std::map<std::string, Digest> outputs;

 private:
  Deps& deps_;
  const std::string weights_;  // what comes out: an "adapter" or a "model"
  std::string note_;
};

Result<std::vector<JobFile>> newest_checkpoint(Deps& deps, const std::string& note) {
  const auto saved = TRY(deps.notes.load(note));
  if (!saved) return std::vector<JobFile>();
  const Digest digest = TRY(Digest::parse(TRY(json_string(*saved, "checkpoint", note))));
  return vault::job_files(deps.store, digest);
}

Result<StepProduct> train(const StepPlan& plan, const std::string& image, const Json& training, const std::string& base_model, Deps& deps) {
  const std::string key = governance::StepRecorder::input_key(governance::TrainStep::kName, plan).hex();
  const std::string note = "training-" + key;
  provider::JobSpec spec = training_job(training, image);
  spec.key = key;
  spec.channels["model"] = TRY(vault::job_files(deps.store, plan.inputs.at("model")));
  TRY(make_room(spec));
  for (auto& file : TRY(vault::job_files(deps.store, plan.inputs.at("data")))) {
    const bool trains = file.path == "train.jsonl";
    file.path = trains ? "train.jsonl" : "eval.jsonl";  // the validation rows are the trainer's held-out set
    spec.channels[trains ? "train" : "eval"].push_back(std::move(file));
  }
  spec.hyperparameters["redoubt_base_model"] = base_model;  // what the adapter says it belongs to
  spec.checkpoints = TRY(newest_checkpoint(deps, note));
  const std::string weights = std::string(json_or(training, "method", "lora")) == "full" ? "model" : "adapter";
  Handler handler(deps, weights, note);
  TRY(governance::check_job(TRY(deps.runner.run(spec, handler)), "training", handler));
  if (!handler.outputs.contains(weights) || !handler.outputs.contains("metrics")) {
    return fail(ErrorCode::internal, "the trainer ended without the " + weights + " or its metrics", image);
  }
  TRY(deps.notes.remove(note));
  Json result = handler.result();
  if (!handler.system().empty()) result["system"] = handler.system();
  return StepProduct{handler.outputs, std::move(result)};
}

}  // namespace

provider::JobSpec training_job(const Json& training, const std::string& image) {
  provider::JobSpec spec;
  spec.image = image;
  spec.entry_point = "train";
  spec.hyperparameters = training;
  for (const char* ours : {"memory_gib_max", "hours_max", "validation_fraction", "instance_count"}) spec.hyperparameters.erase(ours);
  spec.memory_bytes_max = static_cast<std::uint64_t>(json_or(training, "memory_gib_max", 12.0) * (1ull << 30));
  spec.time_s_max = static_cast<int>(json_or(training, "hours_max", 24.0) * 3600);
  spec.instances = static_cast<int>(json_or(training, "instance_count", std::int64_t{1}));
  return spec;
}

Status make_room(provider::JobSpec& spec) {
  if (std::string(json_or(spec.hyperparameters, "method", "lora")) != "full") return {};
  constexpr std::uint64_t kCheckpoint = 16 / 2;  // bytes of four numbers for each that lies in 16 bits
  spec.output_bytes_max += (1 + 2 * kCheckpoint) * TRY(vault::bytes_of(spec.channels.at("model")));
  return {};
}

Result<governance::TrainedModel> run(const governance::AcquiredModel& model, const governance::PreparedData& data,
                                       const governance::BuiltImage& image, const Json& training, Deps& deps) {
  const Digest image_digest = TRY(image.output("image"));
  const Digest model_digest = TRY(model.output("model")), data_digest = TRY(data.output("train"));
  const StepPlan plan{{{"model", model_digest}, {"data", data_digest}, {"image", image_digest}}, training};
  const std::string base_model = json_or(model.record().result, "repository", "");
  return deps.recorder.run<governance::TrainStep>(plan, [&] { return train(plan, image_digest.tagged(), training, base_model, deps); });
}

}  // namespace redoubt::stages::train
