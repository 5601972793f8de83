// SPDX-License-Identifier: Apache-2.0
//
// What the model answers by itself to the questions of an evaluation, beside what was expected, and how near it came.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/evaluate/eval_rows.h"
#include "engine/generate/loaded_model.h"
#include "engine/metrics/text_metrics.h"

namespace redoubt::engine::evaluate {

struct Generation {
  std::size_t row = 0;  // its place in the data's rows
  std::string prompt = {}, expected = {}, generated = {};
  bool exact_match = false;
  double rouge_l = 0;
  metrics::BleuCounts bleu = {};
  metrics::ChrfCounts chrf = {};
};

struct GenerateOptions {
  std::int64_t rows_max = 0;      // answers, of the first rows that have one
  std::int64_t tokens_max = 128;  // of an answer
  std::size_t streams = 16;       // sequences computed together
  std::function<void(std::int64_t, std::int64_t)> progress = {};  // answers done and asked for
};

// The likeliest continuation of each prompt, up to an end token; in the order of the rows. A prompt that fills the context is
// answered with nothing.
Result<std::vector<Generation>> generate_answers(const generate::LoadedModel& model, const EvalData& data, const GenerateOptions& options);

}  // namespace redoubt::engine::evaluate
