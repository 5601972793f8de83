// SPDX-License-Identifier: Apache-2.0
//
// Step 4: the base model and the tuned one on the rows that no trainer saw, side by side, and the gate over the tuned one.
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

struct Options {
  Thresholds thresholds;
  std::string dtype = "bf16";
  int max_length = 512;   // tokens of an example
  int generations = 5;    // answers written out for a person to read
};

// Outputs: evaluation (evaluation.json, per_example.jsonl, generations.jsonl of the tuned model and base/ of the base model).
// Result: gate, failures, explanation, metrics, base_metrics. A gate that fails is a result, not an error.
Result<governance::Evaluation> run(const governance::AcquiredModel& model, const governance::PreparedData& data,
                                   const governance::BuiltImage& image, const governance::TrainedAdapter& adapter,
                                   const Options& options, Deps& deps);

// The job of one evaluation; its channels are left to the caller.
provider::JobSpec evaluation_job(const Options& options, const std::string& image);

}  // namespace redoubt::stages::evaluate
