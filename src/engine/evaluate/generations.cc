// SPDX-License-Identifier: Apache-2.0
#include "engine/evaluate/generations.h"

#include <algorithm>

#include "engine/generate/cached_sequences.h"
#include "engine/generate/scheduler.h"

namespace redoubt::engine::evaluate {
namespace {

// Collects the texts of requests, whose ids are their places.
class Answers final : public generate::Listener {
 public:
  Answers(std::vector<Generation>& generations, const GenerateOptions& options) : generations_(generations), options_(options) {}

  void started(const std::string&, std::size_t) override {}
  void piece(const std::string& id, const generate::Piece& piece) override { generations_[std::stoul(id)].generated += piece.text; }
  void done(const std::string&, generate::FinishReason, const generate::Usage&) override {
    ++done_;
    if (options_.progress) options_.progress(done_, std::ssize(generations_));
  }
  void failed(const std::string& id, const Error& error) override {
    if (!failure) failure = error;
    (void)id;
  }

  std::optional<Error> failure;

 private:
  std::vector<Generation>& generations_;
  const GenerateOptions& options_;
  std::int64_t done_ = 0;
};

struct Question {
  std::vector<std::int32_t> prompt;
  std::int64_t tokens_max = 0;
};

// Reads the row's question and puts down what is known before it is answered.
Result<Question> question_of(const generate::LoadedModel& model, const EvalData& data, Generation& generation, std::int64_t tokens_max) {
  const auto example = TRY(data.pieces.read(data.rows[generation.row].first));
  // The last answer: what comes before it is the prompt, earlier answers too.
  const auto last = example.counted.empty() ? example.answer_start : example.counted.back().begin;
  const auto ids = std::span(example.ids);
  const auto prompt = ids.first(static_cast<std::size_t>(last));
  generation.prompt = TRY(model.tokenizer->decode(prompt));
  generation.expected = TRY(model.tokenizer->decode(ids.subspan(prompt.size())));
  return Question{{prompt.begin(), prompt.end()}, std::min(tokens_max, model.base->config().context_length - std::ssize(prompt))};
}

void compare(Generation& generation) {
  generation.exact_match = metrics::exact_match(generation.generated, generation.expected);
  generation.rouge_l = metrics::rouge_l(generation.generated, generation.expected);
  generation.bleu = metrics::bleu_counts(generation.generated, generation.expected);
  generation.chrf = metrics::chrf_counts(generation.generated, generation.expected);
}

}  // namespace

Result<std::vector<Generation>> generate_answers(const generate::LoadedModel& model, const EvalData& data, const GenerateOptions& options) {
  std::vector<Generation> generations;
  for (std::size_t i = 0; i < data.rows.size() && std::ssize(generations) < options.rows_max; ++i)
    if (data.rows[i].kind == RowKind::answer) generations.push_back({.row = i});
  Answers answers(generations, options);
  const auto context = std::min(data.pieces.counts().longest + options.tokens_max, model.base->config().context_length);
  const auto sequences = TRY(generate::make_sequence_model(
      model, {.slots = std::clamp<std::size_t>(generations.size(), 1, options.streams), .context = context}));
  generate::Scheduler scheduler(*sequences, *model.tokenizer, model.end_tokens, answers);
  std::size_t asked = 0;
  while (asked < generations.size() || scheduler.busy()) {
    while (asked < generations.size() && scheduler.running() < sequences->slots()) {
      auto question = TRY(question_of(model, data, generations[asked], options.tokens_max));
      generate::Request request{.id = std::to_string(asked), .prompt = std::move(question.prompt), .max_tokens = question.tokens_max};
      request.sampling.greedy = true;
      request.owner.adapter = model.default_adapter;
      if (question.tokens_max > 0) TRY(scheduler.submit(std::move(request)));
      ++asked;
      scheduler.step();
    }
    scheduler.step();
    if (answers.failure) return fail(*answers.failure);
  }
  for (auto& generation : generations) compare(generation);
  return generations;
}

}  // namespace redoubt::engine::evaluate
