// SPDX-License-Identifier: Apache-2.0
//
// The data step: checks the file, divides it into rows to train on, rows to choose the best epoch by, and rows that no
// trainer sees, and seals all three as JSON lines, redacted and without what the policy drops. The file is read once for each of these,
// so memory holds 150 bytes of a row; a file that changes meanwhile is tampered.
#pragma once

#include "base/progress.h"
#include "governance/recorder.h"
#include "stages/data/policy.h"
#include "stages/data/split.h"
#include "vault/artifact_store.h"

namespace redoubt::stages::data {

struct PrepareOptions {
  std::filesystem::path file;
  double eval_fraction = 0.1;        // of the questions
  double validation_fraction = 0.1;  // of the questions left for training
  std::uint64_t seed = 7;
  rows::Question question = rows::Question::user;  // what must not stand on two sides
  Policy policy;  // what is done about findings
};

struct PrepareDeps {
  vault::ArtifactStore& store;
  governance::StepRecorder& recorder;
  Progress& progress;
};

// Outputs: train (train.jsonl, validation.jsonl), eval (eval.jsonl), of the rows as the policy leaves them. Result: rows, train,
// validation, eval; by kind findings, redacted and dropped, and dropped_rows. gate_refused with file and line of the first finding that
// stops the run.
Result<governance::PreparedData> prepare(const PrepareOptions& options, PrepareDeps& deps);

}  // namespace redoubt::stages::data
