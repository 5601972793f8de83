// SPDX-License-Identifier: Apache-2.0
#include "engine/evaluate/evaluator.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <numbers>

#include "engine/model/head_loss.h"
#include "engine/model/tasks.h"

namespace redoubt::engine::evaluate {
namespace {

// Examples of one pass: `begin` to `end` - 1.
struct Pass {
  std::size_t begin = 0, end = 0;
};

// Neighbours in one pass, as many as fit: rows of a file are often in an order in which neighbours begin alike, as the choices of a question do. What an
// example begins with that the one before begins with too is not counted: it is computed once.
class PassesOf {
 public:
  PassesOf(const data::Examples& examples, const model::CausalModel& base, const EvaluateOptions& options)
      : examples_(examples), options_(options), shares_(base.can_share_up_to(examples.counts().longest)) {}

  Result<std::vector<Pass>> find() {
    for (std::size_t i = 0; i < examples_.size(); ++i) {
      auto example = TRY(examples_.read(i));
      if (!takes(example)) passes_.push_back({i, i});
      auto& pass = passes_.back();
      const bool first = pass.begin == pass.end;
      rows_ = first ? std::ssize(example.ids) : rows_ + own_tokens(example);
      tokens_ = first ? std::ssize(example.ids) : tokens_ + std::ssize(example.ids);
      pass.end = i + 1;
      before_ = std::move(example);
    }
    return std::move(passes_);
  }

 private:
  static constexpr std::int64_t kTokensOfRow = 4;  // the guess may be wrong, no further than this

  bool takes(const data::Example& next) const {
    if (passes_.empty()) return false;
    const auto& pass = passes_.back();
    if (options_.examples_max > 0 && static_cast<std::int64_t>(pass.end - pass.begin) >= options_.examples_max) return false;
    return rows_ + own_tokens(next) <= options_.rows_max && tokens_ + std::ssize(next.ids) <= kTokensOfRow * options_.rows_max;
  }
  std::int64_t own_tokens(const data::Example& next) const {
    const auto alike = std::mismatch(next.ids.begin(), next.ids.end(), before_.ids.begin(), before_.ids.end()).first - next.ids.begin();
    return std::ssize(next.ids) - (shares_ ? std::min<std::int64_t>({alike, next.answer_start - 1, before_.answer_start - 1}) : 0);
  }

  const data::Examples& examples_;
  const EvaluateOptions& options_;
  const bool shares_;
  std::vector<Pass> passes_;
  std::int64_t rows_ = 0, tokens_ = 0;
  data::Example before_;
};

Status score_pass(const model::CausalModel& base, const model::LoraWeights* lora, const data::Examples& examples,
                  const Pass& pass, std::vector<ExampleScore>& scores) {
  std::vector<data::Example> held;
  std::vector<const data::Example*> chosen;
  held.reserve(pass.end - pass.begin);
  for (auto index = pass.begin; index < pass.end; ++index) chosen.push_back(&held.emplace_back(TRY(examples.read(index))));
  const auto batch = pack_answers(chosen, sharing_of(chosen, base));
  const auto loss = model::head_loss(base, base.forward(batch.packed, lora, batch.rows, nullptr), batch.targets, 0);
  const float* losses = loss.losses.const_data_ptr<float>();
  const bool* correct = loss.correct.const_data_ptr<bool>();
  for (std::size_t i = 0; i < held.size(); ++i) {
    auto& score = scores[pass.begin + i];
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
  std::vector<Pass> passes;
  const auto all = TRY(PassesOf(examples, base, options).find());
  for (std::size_t i = 0; i < all.size(); ++i)
    if (static_cast<std::int64_t>(i) % options.shares == options.share) passes.push_back(all[i]);

  std::mutex turn;
  Status failed;
  std::int64_t done = 0;
  const auto total = static_cast<std::int64_t>(examples.size());
  const auto report = [&](std::int64_t more) {
    if (options.progress) options.progress(done += more, total);
  };
  const auto compute = [&](const Pass& pass) {
    auto status = score_pass(base, lora, examples, pass, scores);
    const std::lock_guard lock(turn);
    if (!status) failed = std::move(status);
    else report(static_cast<std::int64_t>(pass.end - pass.begin));
  };
  report(0);
  // As many passes as there are threads go side by side, so that none waits for another at each product; the threads share what is left over.
  const auto count = std::ssize(passes), alone = count % at::get_num_threads();
  model::for_each_task(count - alone, [&](std::int64_t i) { compute(passes[static_cast<std::size_t>(i)]); });
  for (auto i = count - alone; i < count && failed; ++i) compute(passes[static_cast<std::size_t>(i)]);
  TRY(std::move(failed));
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
