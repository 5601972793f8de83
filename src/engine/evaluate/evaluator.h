// SPDX-License-Identifier: Apache-2.0
//
// How well a model predicts answers: loss, perplexities in every unit, accuracy, and each example's log-likelihood.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "base/json.h"
#include "engine/evaluate/answer_batch.h"

namespace redoubt::engine::evaluate {

struct ExampleScore {
  std::int64_t tokens = 0;    // answer tokens
  std::int64_t correct = 0;   // of them the likeliest
  double log_likelihood = 0;  // nats, over the answer tokens
};

struct Evaluation {
  std::vector<ExampleScore> examples;  // in the order given
  std::int64_t tokens = 0;
  double loss = 0;             // nats per answer token
  double perplexity = 0;       // e^loss
  double word_perplexity = 0;  // e^(nats / words of the answers)
  double byte_perplexity = 0;  // e^(nats / bytes of the answers)
  double accuracy = 0;         // share of answer tokens that were the likeliest
};

struct EvaluateOptions {
  std::int64_t rows_max = 1024;   // tokens computed in one pass, unless one example is longer
  std::int64_t examples_max = 0;  // examples in one pass; 0 means as many as fit
  // Called after each pass with examples done and all examples.
  std::function<void(std::int64_t, std::int64_t)> progress = {};
};

// The examples must have passed check_examples. `lora` may be null. A loss that is no number (broken weights) shows in it.
Evaluation evaluate(const model::CausalModel& base, const model::LoraWeights* lora, std::span<const data::Example> examples,
                    const EvaluateOptions& options = {});

// invalid_argument that names the first example whose log-likelihood is no number.
Status check_finite(const Evaluation& evaluation, std::span<const data::Example> examples, std::string_view where);

// evaluation.json without the parts that the control plane adds.
Json to_json(const Evaluation& evaluation);

}  // namespace redoubt::engine::evaluate
