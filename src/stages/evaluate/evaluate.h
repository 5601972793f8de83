// SPDX-License-Identifier: Apache-2.0
//
// Step 4: the base model, the tuned one and, if asked for, the one in production on the rows that no trainer saw, side by side, and
// the gate over the tuned one.
#pragma once

#include "base/progress.h"
#include "governance/recorder.h"
#include "provider/job_runner.h"
#include "stages/evaluate/gate.h"
#include "vault/artifact_store.h"

namespace redoubt::stages::evaluate {

struct Deps {
  vault::ArtifactStore& store;
  provider::JobRunner& runner;
  governance::StepRecorder& recorder;
  Progress& progress;
};

// A version in production, which the tuned model is compared with.
struct Production {
  std::string version;
  Digest model;
  std::optional<Digest> adapter;  // none: every weight of the model was trained
};

struct Options {
  Thresholds thresholds;
  std::optional<Production> production;  // where thresholds.not_worse_than asks; none: there is nothing to compare with yet
  std::string dtype = "bf16";
  std::string weights = "bf16";  // or "int8", "int4": what will be served
  int max_length = 512;   // tokens of an example
  int generations = 5;    // rows whose question the model answers by itself
  int generation_tokens = 64;
};

// Outputs: evaluation (evaluation.json, per_example.jsonl, generations.jsonl of the tuned model and base/ of the base model).
// Result: gate, failures, explanation, metrics, base_metrics and, of a version in production, production_metrics, comparison and
// the output production_evaluation. A gate that fails is a result, not an error.
Result<governance::Evaluation> run(const governance::AcquiredModel& model, const governance::PreparedData& data,
                                   const governance::BuiltImage& image, const governance::TrainedModel& trained,
                                   const Options& options, Deps& deps);

// The job of one evaluation; its channels are left to the caller.
provider::JobSpec evaluation_job(const Options& options, const std::string& image);

// Memory for the weights of the channel `model`, in fp32 up to twice as large as they lie there, on top of what any job may take.
Status make_room(provider::JobSpec& spec);

}  // namespace redoubt::stages::evaluate
