// SPDX-License-Identifier: Apache-2.0
#include "engine/generate/scheduler.h"

#include <algorithm>
#include <limits>

namespace redoubt::engine::generate {
namespace {

std::chrono::microseconds between(std::chrono::steady_clock::time_point begin, std::chrono::steady_clock::time_point end) { return std::chrono::duration_cast<std::chrono::microseconds>(end - begin); }

}  // namespace

const char* to_string(FinishReason reason) {
  switch (reason) {
    case FinishReason::stop: return "stop";
    case FinishReason::length: return "length";
    case FinishReason::cancelled: break;
  }
  return "cancelled";
}

Scheduler::Scheduler(SequenceModel& model, const tokenizer::Tokenizer& tokenizer, std::vector<std::int32_t> end_tokens,
                     Listener& listener, SchedulerOptions options)
    : model_(model), tokenizer_(tokenizer), end_tokens_(std::move(end_tokens)), listener_(listener), options_(options), slots_(model.slots()) {}

std::size_t Scheduler::running() const {
  return static_cast<std::size_t>(std::ranges::count_if(slots_, [](const auto& slot) { return slot.has_value(); }));
}

Status Scheduler::submit(Request request) {
  const auto has_id = [&](const Request& other) { return other.id == request.id; };
  const bool known = std::ranges::any_of(waiting_, has_id, &Waiting::request) ||
                     std::ranges::any_of(slots_, [&](const auto& slot) { return slot && has_id(slot->request); });
  if (known) return fail(ErrorCode::already_exists, "a request with this id is running");
  if (request.prompt.empty()) return fail(ErrorCode::invalid_argument, "the prompt is empty");
  TRY(check_sampling(request.sampling, model_.vocabulary()));
  if (request.owner.adapter > model_.adapters()) return fail(ErrorCode::invalid_argument, "there is no such adapter", "model");
  if (request.top_logprobs > kTopLogprobsMax) return fail(ErrorCode::invalid_argument, "top_logprobs must be at most 20", "top_logprobs");
  const auto context = model_.context_length(), prompt = std::ssize(request.prompt);
  if (request.max_tokens == 0) request.max_tokens = context - prompt;
  if (request.max_tokens < 1 || prompt >= context || request.max_tokens > context - prompt)
    return fail(ErrorCode::limit_exceeded,
                "the prompt of " + std::to_string(prompt) + " tokens and max_tokens do not fit the context of " + std::to_string(context) + " tokens",
                "", "shorten the prompt or ask for fewer tokens");
  if (waiting_.size() >= options_.waiting_max) return fail(ErrorCode::limit_exceeded, "too many requests are waiting", "queue", "try again later");
  waiting_.push_back({std::move(request), std::chrono::steady_clock::now()});
  return {};
}

void Scheduler::cancel(std::string_view id) {
  const auto waiting = std::ranges::find_if(waiting_, [&](const Waiting& one) { return one.request.id == id; });
  if (waiting != waiting_.end()) {
    const auto [request, since] = std::move(*waiting);
    waiting_.erase(waiting);
    return listener_.done(request.id, FinishReason::cancelled, {.prompt = request.prompt.size(), .phases = Phases{.queue = between(since, std::chrono::steady_clock::now())}});
  }
  for (std::size_t slot = 0; slot < slots_.size(); ++slot)
    if (slots_[slot] && slots_[slot]->request.id == id) return finish(slot, FinishReason::cancelled);
}

void Scheduler::step() {
  admit();
  read_prompts();
  decode();
}

void Scheduler::admit() {
  for (std::size_t slot = 0; slot < slots_.size() && !waiting_.empty(); ++slot) {
    if (slots_[slot]) continue;
    auto& sequence = slots_[slot].emplace(std::move(waiting_.front()), tokenizer_);
    waiting_.pop_front();
    const auto& prompt = sequence.request.prompt;
    const auto opened = model_.open(slot, std::ssize(prompt) + sequence.request.max_tokens, prompt, sequence.request.owner);
    if (!opened) {
      drop(slot, opened.error());
      continue;
    }
    sequence.read = sequence.reused = *opened;
    listener_.started(sequence.request.id, prompt.size());
  }
}

void Scheduler::read_prompts() {
  const auto pieces = next_pieces();
  if (pieces.empty()) return;
  const auto logits = model_.extend(pieces);
  if (!logits) {
    for (const auto& piece : pieces) drop(piece.slot, logits.error());
    return;
  }
  const auto width = logits->size() / pieces.size();
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    auto& sequence = *slots_[pieces[i].slot];
    sequence.read += pieces[i].tokens.size();
    if (sequence.read == sequence.request.prompt.size()) take(pieces[i].slot, logits->subspan(i * width, width));
  }
}

std::vector<PromptPiece> Scheduler::next_pieces() {
  std::vector<PromptPiece> pieces;
  const auto first = next_prompt_;  // several prompts take turns
  std::size_t tokens = 0;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    const auto slot = (first + i) % slots_.size();
    if (!slots_[slot] || slots_[slot]->decoding()) continue;
    const auto rest = std::span<const std::int32_t>(slots_[slot]->request.prompt).subspan(slots_[slot]->read);
    // Where a prompt is cut does not depend on the others: its logits should not either.
    const auto piece = rest.first(std::min(rest.size(), options_.prompt_piece));
    if (!pieces.empty() && tokens + piece.size() > options_.prompt_piece) break;
    tokens += piece.size();
    next_prompt_ = slot + 1;
    pieces.push_back({slot, piece});
  }
  return pieces;
}

void Scheduler::decode() {
  std::vector<NextToken> tokens;
  for (std::size_t slot = 0; slot < slots_.size(); ++slot)
    if (slots_[slot] && slots_[slot]->decoding()) tokens.push_back({slot, slots_[slot]->newest});
  if (tokens.empty()) return;
  const auto logits = model_.step(tokens);
  if (!logits) {
    for (const auto& token : tokens) drop(token.slot, logits.error());
    return;
  }
  const auto width = logits->size() / tokens.size();
  for (std::size_t i = 0; i < tokens.size(); ++i) take(tokens[i].slot, logits->subspan(i * width, width));
}

Result<AllowedTokens> Scheduler::allowed(Sequence& sequence) {
  if (!sequence.request.grammar) return AllowedTokens();
  if (!token_trees_) token_trees_ = TRY(make_token_trees(tokenizer_, end_tokens_, model_.vocabulary()));
  if (!sequence.constraint) sequence.constraint.emplace(*token_trees_, tokenizer_, sequence.request.grammar);
  return sequence.constraint->allowed();
}

void Scheduler::take(std::size_t slot, std::span<const float> logits) {
  auto& sequence = *slots_[slot];
  const auto may_come = allowed(sequence);
  if (!may_come) return drop(slot, may_come.error());
  const auto token = sequence.sampler.choose(logits, *may_come);
  if (!token) return drop(slot, token.error());
  if (sequence.made++ == 0) sequence.answered_from = std::chrono::steady_clock::now();
  if (std::ranges::find(end_tokens_, *token) != end_tokens_.end()) return finish(slot, FinishReason::stop);
  sequence.newest = *token;
  if (const auto top = sequence.request.top_logprobs) sequence.untold.push_back({sequence.bytes_made, logprob_of(logits, *token, *top)});
  emit(sequence, sequence.decoded.push(*token));
  if (sequence.constraint) sequence.constraint->accept(*token);
  if (sequence.stops.stopped() || (sequence.constraint && sequence.constraint->finished())) return finish(slot, FinishReason::stop);
  if (static_cast<std::int64_t>(sequence.made) == sequence.request.max_tokens) finish(slot, FinishReason::length);
}

void Scheduler::emit(Sequence& sequence, std::string text) {
  sequence.bytes_made += text.size();
  auto safe = sequence.stops.push(text);
  sequence.bytes_told += safe.size();
  if (!safe.empty()) tell(sequence, std::move(safe), sequence.bytes_told);
}

void Scheduler::tell(Sequence& sequence, std::string text, std::size_t logprobs_before) {
  Piece piece{std::move(text)};
  for (; !sequence.untold.empty() && sequence.untold.front().begin < logprobs_before; sequence.untold.pop_front())
    piece.logprobs.push_back(std::move(sequence.untold.front().logprob));
  if (!piece.text.empty() || !piece.logprobs.empty()) listener_.piece(sequence.request.id, piece);
}

void Scheduler::finish(std::size_t slot, FinishReason reason) {
  auto& sequence = *slots_[slot];
  if (!sequence.stops.stopped()) {
    emit(sequence, sequence.decoded.finish());
    tell(sequence, sequence.stops.finish(), std::numeric_limits<std::size_t>::max());
  }
  listener_.done(sequence.request.id, reason, {sequence.request.prompt.size(), sequence.made, sequence.reused, sequence.phases()});
  slots_[slot].reset();
  model_.close(slot);
}

Phases Scheduler::Sequence::phases() const {
  const auto now = std::chrono::steady_clock::now(), begin = answered_from.value_or(now);
  return {between(submitted, admitted), between(admitted, begin), between(begin, now)};
}

void Scheduler::drop(std::size_t slot, const Error& error) {
  listener_.failed(slots_[slot]->request.id, error);
  slots_[slot].reset();
  model_.close(slot);
}

}  // namespace redoubt::engine::generate
