// SPDX-License-Identifier: Apache-2.0
#include "engine/serve/decoder.h"

#include <algorithm>
#include <random>

namespace redoubt::engine::serve {

using generate::Request;
using openai::GenerateEnd;
using openai::GenerateRequest;

Decoder::Decoder(generate::WorkerModel model, generate::SchedulerOptions options)
    : model_(std::move(model)), scheduler_(model_.sequences, model_.tokenizer, model_.end_tokens, *this, options), thread_([this] { run(); }) {}

Decoder::~Decoder() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  asked_.notify_all();
  thread_.join();
}

Result<Request> Decoder::prepare(const GenerateRequest& asked) const {
  Request request;
  if (asked.prompt) {
    request.prompt = TRY(model_.encode_prompt(*asked.prompt));
  } else {
    generate::Prompt prompt{.tools = asked.tools};
    for (const auto& message : asked.messages) prompt.messages.push_back({message.role, message.content, message.json});
    request.prompt = TRY(model_.encode_messages(prompt));
  }
  // A model's name that is no adapter's is the container's own.
  const bool known = std::ranges::find(model_.adapters, asked.adapter) != model_.adapters.end();
  request.owner = {asked.scope, TRY(model_.adapter_of(known ? asked.adapter : ""))};
  request.max_tokens = asked.max_tokens;
  auto& sampling = request.sampling;
  sampling.greedy = asked.greedy;
  sampling.temperature = asked.temperature;
  sampling.top_p = asked.top_p;
  sampling.top_k = asked.top_k;
  sampling.min_p = asked.min_p;
  sampling.repetition_penalty = asked.repetition_penalty;
  sampling.presence_penalty = asked.presence_penalty;
  sampling.frequency_penalty = asked.frequency_penalty;
  for (const auto& [id, bias] : asked.logit_bias) sampling.logit_bias.emplace_back(id, static_cast<float>(bias));
  if (asked.top_logprobs) request.top_logprobs = static_cast<std::size_t>(*asked.top_logprobs);
  sampling.seed = asked.seed ? static_cast<std::uint64_t>(*asked.seed) : std::random_device()();
  request.stop = asked.stop;
  request.grammar = asked.grammar;
  return request;
}

Result<GenerateEnd> Decoder::generate(const GenerateRequest& asked, const OnPiece& on_piece) {
  auto request = TRY(prepare(asked));
  std::unique_lock lock(mutex_);
  const std::string id = request.id = std::to_string(next_id_++);
  auto& answer = answers_[id];
  inbox_.push_back(std::move(request));
  asked_.notify_one();
  bool wanted = true;
  while (true) {
    answered_.wait(lock, [&] { return answer.end || !answer.piece.empty(); });
    const auto piece = std::exchange(answer.piece, {});
    if (wanted && !piece.empty()) {
      lock.unlock();
      wanted = on_piece(piece);
      lock.lock();
      if (!wanted) cancelled_.push_back(id);
    }
    if (!answer.end || !answer.piece.empty()) continue;
    auto end = std::move(*answer.end);
    answers_.erase(id);
    return end;
  }
}

void Decoder::run() {
  while (true) {
    std::vector<Request> requests;
    std::vector<std::string> cancelled;
    {
      std::unique_lock lock(mutex_);
      if (!scheduler_.busy()) asked_.wait(lock, [this] { return stopping_ || !inbox_.empty(); });
      requests = std::exchange(inbox_, {});
      cancelled = std::exchange(cancelled_, {});
      if (stopping_) {
        for (auto& [id, answer] : answers_) answer.end = fail(ErrorCode::unavailable, "the server stops");
        answered_.notify_all();
        return;
      }
    }
    for (auto& request : requests) {
      const std::string id = request.id;
      const auto taken = scheduler_.submit(std::move(request));
      if (!taken) failed(id, taken.error());
    }
    for (const auto& id : cancelled) scheduler_.cancel(id);
    if (scheduler_.busy()) scheduler_.step();
  }
}

openai::TokenLogprob Decoder::told(const generate::TokenLogprob& one) const {
  return {std::string(model_.tokenizer.token_bytes(one.id)), one.logprob, {}};
}

void Decoder::piece(const std::string& id, const generate::Piece& piece) {
  std::lock_guard lock(mutex_);
  auto& so_far = answers_[id].piece;
  so_far.text += piece.text;
  for (const auto& one : piece.logprobs) {
    auto& entry = so_far.logprobs.emplace_back(told(one.chosen));
    for (const auto& likely : one.top) entry.top.push_back(told(likely));
  }
  answered_.notify_all();
}

void Decoder::done(const std::string& id, generate::FinishReason reason, const generate::Usage& usage) {
  std::lock_guard lock(mutex_);
  answers_[id].end = GenerateEnd{generate::to_string(reason), static_cast<int>(usage.prompt), static_cast<int>(usage.completion), static_cast<int>(usage.reused)};
  answered_.notify_all();
}

void Decoder::failed(const std::string& id, const Error& error) {
  std::lock_guard lock(mutex_);
  answers_[id].end = fail(error);
  answered_.notify_all();
}

}  // namespace redoubt::engine::serve
