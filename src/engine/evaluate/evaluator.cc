// SPDX-License-Identifier: Apache-2.0
#include "engine/evaluate/evaluator.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "engine/model/head_loss.h"

namespace redoubt::engine::evaluate {
namespace {

// Examples of like length side by side, so that attention pads little.
std::vector<std::size_t> by_length(const data::Examples& examples) {
  std::vector<std::size_t> order(examples.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return examples.tokens(a) > examples.tokens(b); });
  return order;
}

// Where the pass that starts at `begin` of the order ends.
std::size_t end_of_pass(const data::Examples& examples, std::span<const std::size_t> order, std::size_t begin,
                        const EvaluateOptions& options) {
  std::int64_t rows = 0;
  std::size_t end = begin;
  while (end < order.size()) {
    rows += examples.tokens(order[end]);
    const bool full = options.examples_max > 0 && static_cast<std::int64_t>(end - begin) >= options.examples_max;
    if (end > begin && (rows > options.rows_max || full)) break;
    ++end;
  }
  return end;
}

Status score_pass(const model::CausalModel& base, const model::LoraWeights* lora, const data::Examples& examples,
                  std::span<const std::size_t> pass, std::vector<ExampleScore>& scores) {
  std::vector<data::Example> held;
  std::vector<const data::Example*> chosen;
  held.reserve(pass.size());
  for (auto index : pass) chosen.push_back(&held.emplace_back(TRY(examples.read(index))));
  const auto batch = pack_answers(chosen, sharing_of(chosen, base));
  const auto loss = model::head_loss(base, base.forward(batch.packed, lora, batch.rows, nullptr), batch.targets, 0);
  const float* losses = loss.losses.const_data_ptr<float>();
  const bool* correct = loss.correct.const_data_ptr<bool>();
  for (std::size_t i = 0; i < pass.size(); ++i) {
    auto& score = scores[pass[i]];
    score.tokens = batch.answers[i];
    score.words = static_cast<std::int64_t>(held[i].answer_words);
    score.bytes = static_cast<std::int64_t>(held[i].answer_bytes);
    for (std::int64_t t = 0; t < score.tokens; ++t) {
      score.log_likelihood -= static_cast<double>(*losses++);
      score.correct += *correct++ ? 1 : 0;
    }
  }
  return {};
}

}  // namespace

Result<Evaluation> evaluate(const model::CausalModel& base, const model::LoraWeights* lora, const data::Examples& examples,
                            const EvaluateOptions& options) {
  c10::InferenceMode guard;
  std::vector<ExampleScore> scores(examples.size());
  const auto order = by_length(examples);
  if (options.progress) options.progress(0, static_cast<std::int64_t>(examples.size()));
  std::int64_t pass = 0;
  for (std::size_t begin = 0; begin < order.size(); ++pass) {
    const std::size_t end = end_of_pass(examples, order, begin, options);
    if (pass % options.shares == options.share)
      TRY(score_pass(base, lora, examples, std::span(order).subspan(begin, end - begin), scores));
    begin = end;
    if (options.progress) options.progress(static_cast<std::int64_t>(end), static_cast<std::int64_t>(examples.size()));
  }
  return summarise(std::move(scores));
}

Evaluation summarise(std::vector<ExampleScore> scores) {
  Evaluation out;
  out.examples = std::move(scores);
  double nats = 0, correct = 0, words = 0, bytes = 0;
  for (const auto& score : out.examples) {
    nats -= score.log_likelihood;
    out.tokens += score.tokens;
    correct += static_cast<double>(score.correct);
    words += static_cast<double>(score.words);
    bytes += static_cast<double>(score.bytes);
  }
  out.loss = nats / static_cast<double>(out.tokens);
  out.perplexity = std::exp(out.loss);
  out.word_perplexity = std::exp(nats / words);
  out.byte_perplexity = std::exp(nats / bytes);
  out.bits_per_byte = nats / bytes / std::numbers::ln2;
  out.accuracy = correct / static_cast<double>(out.tokens);
  return out;
}

Status check_finite(std::span<const ExampleScore> scores, const data::Examples& examples, std::string_view where) {
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (std::isfinite(scores[i].log_likelihood)) continue;
    const auto example = TRY(examples.read(i));
    return fail(ErrorCode::invalid_argument, "the model's loss is no number",
                (example.source_file ? *example.source_file : std::string(where)) + ": line " + std::to_string(example.source_line),
                "the weights of the model or the adapter are damaged, or overflow in this dtype");
  }
  return {};
}

Json to_json(const Evaluation& e) {
  return {{"examples", e.examples.size()},
          {"tokens", e.tokens},
          {"eval_loss", e.loss},
          {"perplexity", e.perplexity},
          {"word_perplexity", e.word_perplexity},
          {"byte_perplexity", e.byte_perplexity},
          {"bits_per_byte", e.bits_per_byte},
          {"accuracy", e.accuracy}};
}

}  // namespace redoubt::engine::evaluate
