// SPDX-License-Identifier: Apache-2.0
#include "engine/evaluate/evaluator.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/model/head_loss.h"

namespace redoubt::engine::evaluate {
namespace {

// Examples of like length side by side, so that attention pads little.
std::vector<std::size_t> by_length(std::span<const data::Example> examples) {
  std::vector<std::size_t> order(examples.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](auto a, auto b) { return examples[a].ids.size() > examples[b].ids.size(); });
  return order;
}

// Where the pass that starts at `begin` of the order ends.
std::size_t end_of_pass(std::span<const data::Example> examples, std::span<const std::size_t> order, std::size_t begin,
                        const EvaluateOptions& options) {
  std::int64_t rows = 0;
  std::size_t end = begin;
  while (end < order.size()) {
    rows += std::ssize(examples[order[end]].ids);
    const bool full = options.examples_max > 0 && static_cast<std::int64_t>(end - begin) >= options.examples_max;
    if (end > begin && (rows > options.rows_max || full)) break;
    ++end;
  }
  return end;
}

void score_pass(const model::CausalModel& base, const model::LoraWeights* lora, std::span<const data::Example> examples,
                std::span<const std::size_t> pass, std::vector<ExampleScore>& scores) {
  std::vector<const data::Example*> chosen;
  for (auto index : pass) chosen.push_back(&examples[index]);
  const auto batch = pack_answers(chosen, sharing_of(chosen, base));
  const auto loss = model::head_loss(base, base.forward(batch.packed, lora, batch.rows, nullptr), batch.targets, 0);
  const float* losses = loss.losses.const_data_ptr<float>();
  const bool* correct = loss.correct.const_data_ptr<bool>();
  for (std::size_t i = 0; i < pass.size(); ++i) {
    auto& score = scores[pass[i]];
    score.tokens = batch.answers[i];
    for (std::int64_t t = 0; t < score.tokens; ++t) {
      score.log_likelihood -= static_cast<double>(*losses++);
      score.correct += *correct++ ? 1 : 0;
    }
  }
}

}  // namespace

Evaluation evaluate(const model::CausalModel& base, const model::LoraWeights* lora, std::span<const data::Example> examples,
                    const EvaluateOptions& options) {
  c10::InferenceMode guard;
  Evaluation out;
  out.examples.resize(examples.size());
  const auto order = by_length(examples);
  for (std::size_t begin = 0; begin < order.size();) {
    const std::size_t end = end_of_pass(examples, order, begin, options);
    score_pass(base, lora, examples, std::span(order).subspan(begin, end - begin), out.examples);
    begin = end;
    if (options.progress) options.progress(static_cast<std::int64_t>(end), std::ssize(examples));
  }
  double nats = 0, correct = 0, words = 0, bytes = 0;
  for (std::size_t i = 0; i < examples.size(); ++i) {
    nats -= out.examples[i].log_likelihood;
    out.tokens += out.examples[i].tokens;
    correct += static_cast<double>(out.examples[i].correct);
    words += static_cast<double>(examples[i].answer_words);
    bytes += static_cast<double>(examples[i].answer_bytes);
  }
  out.loss = nats / static_cast<double>(out.tokens);
  out.perplexity = std::exp(out.loss);
  out.word_perplexity = std::exp(nats / words);
  out.byte_perplexity = std::exp(nats / bytes);
  out.accuracy = correct / static_cast<double>(out.tokens);
  return out;
}

Status check_finite(const Evaluation& evaluation, std::span<const data::Example> examples, std::string_view where) {
  for (std::size_t i = 0; i < examples.size(); ++i)
    if (!std::isfinite(evaluation.examples[i].log_likelihood))
      return fail(ErrorCode::invalid_argument, "the model's loss is no number",
                  std::string(where) + ": line " + std::to_string(examples[i].source_line),
                  "the weights of the model or the adapter are damaged, or overflow in this dtype");
  return {};
}

Json to_json(const Evaluation& e) {
  return {{"examples", e.examples.size()},
          {"tokens", e.tokens},
          {"eval_loss", e.loss},
          {"perplexity", e.perplexity},
          {"word_perplexity", e.word_perplexity},
          {"byte_perplexity", e.byte_perplexity},
          {"accuracy", e.accuracy}};
}

}  // namespace redoubt::engine::evaluate
