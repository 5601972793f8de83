// SPDX-License-Identifier: Apache-2.0
//
// Training and evaluation runs as experiments. A run is a statement of the ledger and is named by its digest; what it measured by
// step is the sealed artifact that the statement names. Nothing is kept twice: all of it is read from there, verified.
#pragma once

#include <map>
#include <optional>

#include "experiments/plot.h"
#include "ledger/evidence.h"
#include "vault/artifact_store.h"

namespace redoubt::experiments {

struct Run {
  Digest id;  // of the statement
  attest::StepRecord record;

  double seconds() const;
  // Every number of the result; those of nested objects as "base_metrics.eval_loss", those of "metrics" by their own name.
  std::map<std::string, double> metrics() const;
  // Parameters with nested objects as "thresholds.eval_loss_max".
  std::map<std::string, Json> parameters() const;
};

// All that the ledger holds, newest first.
Result<std::vector<Run>> list_runs(ledger::EvidenceLog& evidence);

// The run whose id starts so ("sha256:" may stand before). not_found, or invalid_argument where several do or it is no digest's start.
Result<Run> find_run(const std::vector<Run>& runs, std::string_view start);

struct Curves {
  Curve loss{"loss", {}}, eval_loss{"eval_loss", {}};
  std::optional<double> tokens_per_second;  // of all steps together
};
// Of a training; empty for a run without metrics by step.
Result<Curves> read_curves(vault::ArtifactStore& store, const Run& run);
// Of the text of metrics.jsonl; invalid_argument names the line.
Result<Curves> parse_curves(std::string_view lines);

}  // namespace redoubt::experiments
