// SPDX-License-Identifier: Apache-2.0
//
// How well a model predicts answers: loss, perplexities in every unit, accuracy, and each example's log-likelihood.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "base/json.h"
#include "engine/data/example_store.h"
#include "engine/evaluate/answer_batch.h"

namespace redoubt::engine::evaluate {

struct ExampleScore {
  std::int64_t tokens = 0;        // answer tokens
  std::int64_t correct = 0;       // of them the likeliest
  double log_likelihood = 0;      // nats, over the answer tokens
  std::int64_t words = 0, bytes = 0;  // of the answer's text
};

struct Evaluation {
  std::vector<ExampleScore> examples;  // in the order given
  std::int64_t tokens = 0;
  double loss = 0;             // nats per answer token
  double perplexity = 0;       // e^loss
  double word_perplexity = 0;  // e^(nats / words of the answers)
  double byte_perplexity = 0;  // e^(nats / bytes of the answers)
  double bits_per_byte = 0;    // log2 of that
  double accuracy = 0;         // share of answer tokens that were the likeliest
};

struct EvaluateOptions {
  std::int64_t rows_max = 512;    // tokens computed in one pass, unless one example is longer; each thread has a pass of its own
  std::int64_t examples_max = 0;  // examples in one pass; 0 means as many as fit
  // Of several processes that share out the passes, the `share`-th of `shares`: the other examples' scores stay empty.
  std::int64_t share = 0, shares = 1;
  // Called before the first pass and after each with examples done and all examples; by one thread at a time.
  std::function<void(std::int64_t, std::int64_t)> progress = {};
};

// The examples must have the model's vocabulary and fit its context. `lora` may be null. A loss that is no number (broken weights)
// shows in the result; the only errors are of reading the examples.
Result<Evaluation> evaluate(const model::CausalModel& base, const model::LoraWeights* lora, const data::Examples& examples,
                            const EvaluateOptions& options = {});

// The sums over the scores of all examples.
Evaluation summarise(std::vector<ExampleScore> scores);

// invalid_argument that names the first example whose log-likelihood is no number.
Status check_finite(std::span<const ExampleScore> scores, const data::Examples& examples, std::string_view where);

// evaluation.json without the parts that the control plane adds.
Json to_json(const Evaluation& evaluation);

}  // namespace redoubt::engine::evaluate
