// SPDX-License-Identifier: Apache-2.0
//
// The quality gate: what an evaluation measured against config/thresholds.yaml. There is no way past it; a model that fails
// is registered as Rejected.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "stages/evaluate/compare.h"

namespace redoubt::stages::evaluate {

// config/thresholds.yaml, checked against its schema.
struct Thresholds {
  double perplexity_max = 20;  // per answer token; the measured value must be below
  double eval_loss_max = 1.5;  // nats per answer token; below
  double accuracy_min = 0;     // at least
  std::optional<double> word_perplexity_max, byte_perplexity_max, bits_per_byte_max;               // below
  std::optional<double> acc_min, acc_norm_min, exact_match_min, rouge_l_min, bleu_min, chrf_min;  // at least
  std::optional<NotWorseThan> not_worse_than;  // of another model on the same examples
  std::int64_t examples_min = 30;  // fewer held-out examples leave the question undecided

  static Result<Thresholds> from_json(const Json& checked);
  Json to_json() const;
};

enum class Verdict { pass, fail, undecided };
const char* to_string(Verdict verdict);

struct GateFailure {
  std::string metric;
  double value = 0, limit = 0;
};

struct GateResult {
  Verdict verdict = Verdict::fail;
  std::vector<GateFailure> failures;  // empty unless `fail`
  std::string explanation;            // one sentence for a person

  // {"gate": "pass", "failures": [{"metric", "value", "limit"}]}, as `redoubt eval --json` answers.
  Json to_json() const;
};

// `evaluation` is the engine's evaluation.json. A metric that is missing, not a number or not finite fails the gate. `comparison`,
// where thresholds.not_worse_than asks for one and there is another model, fails it when worse and leaves it undecided when undecided,
// unless a threshold is not met.
GateResult apply_gate(const Thresholds& thresholds, const Json& evaluation, const Comparison* comparison = nullptr);

}  // namespace redoubt::stages::evaluate
