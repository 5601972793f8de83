// SPDX-License-Identifier: Apache-2.0
//
// Step 3: training (LoRA, or of every weight) of the acquired model on the prepared data, by redoubt-engine in the sandbox of the built image.
// Checkpoints are sealed as they appear, so that a killed run goes on from the newest one and ends at the same weights.
#pragma once

#include "base/progress.h"
#include "governance/notes.h"
#include "governance/recorder.h"
#include "provider/job_runner.h"
#include "vault/artifact_store.h"

namespace redoubt::stages::train {

struct Deps {
  vault::ArtifactStore& store;
  provider::JobRunner& runner;
  governance::StepRecorder& recorder;
  governance::Notes& notes;  // where the newest checkpoint of an unfinished training is remembered
  Progress& progress;
};

// `training` is config/training_config.yaml, checked. Outputs: adapter (PEFT folder) or, with `method: full`, model (in the
// base's format), and metrics (metrics.jsonl). Result: what the
// engine reports at its end (best epoch, its validation loss, steps, tokens). A job that fails is unavailable or, where the
// engine blames its input, invalid_argument; its own words are in the message.
Result<governance::TrainedModel> run(const governance::AcquiredModel& model, const governance::PreparedData& data,
                                       const governance::BuiltImage& image, const Json& training, Deps& deps);

// The job of one training, for a pipeline's artifacts or a user's folders: hyperparameters and limits out of the configuration.
provider::JobSpec training_job(const Json& training, const std::string& image);

// Room for what training every weight of the channel `model` keeps: the model that comes out, and two checkpoints, since the newest is there before the one
// before it goes, each with masters, both moments and the best values in fp32. Nothing for an adapter.
Status make_room(provider::JobSpec& spec);

}  // namespace redoubt::stages::train
