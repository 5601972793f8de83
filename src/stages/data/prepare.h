// SPDX-License-Identifier: Apache-2.0
//
// The data step: checks the file, divides it into rows to train on, rows to choose the best epoch by, and rows that no
// trainer sees, and seals all three as JSON lines, redacted and without what the policy drops. The file is read once for each of these,
// so memory holds 150 bytes of a row and as much again of each that is held out; a file that changes meanwhile is tampered.
#pragma once

#include "base/progress.h"
#include "governance/recorder.h"
#include "stages/data/policy.h"
#include "stages/data/split.h"
#include "vault/artifact_store.h"

namespace redoubt::stages::data {

// Rows that lie in the vault under a name.
struct VaultOrigin {
  std::string name;      // for messages, with the file's own name at its end
  Digest artifact, file; // of the version, and of the file's contents
  Json about;            // what the step's result says of it
  std::function<Result<std::unique_ptr<RandomAccess>>()> open;
};

struct PrepareOptions {
  std::filesystem::path file;
  std::optional<VaultOrigin> origin;  // instead of `file`
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

// Inputs: file (its SHA-256), of a version of the vault also vault (its artifact). Outputs: train (train.jsonl, validation.jsonl), eval (eval.jsonl), of the rows as the policy leaves them. Result: rows, train,
// validation, eval; by kind findings, redacted and dropped, dropped_rows, leaks between the sides (side_leakage.h), and of a version of the vault what it was (origin). gate_refused with file and line of the first finding that
// stops the run.
Result<governance::PreparedData> prepare(const PrepareOptions& options, PrepareDeps& deps);

}  // namespace redoubt::stages::data
