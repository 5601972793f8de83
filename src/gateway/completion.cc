// SPDX-License-Identifier: Apache-2.0
#include "gateway/completion.h"

#include <algorithm>

#include "base/log.h"
#include "crypto/identifier.h"
#include "gateway/event_stream.h"
#include "openai/embeddings.h"

namespace redoubt::gateway {

using namespace openai;

Completion::Completion(Context&& context, http::Responder responder)
    : context_(std::move(context)), responder_(std::move(responder)), begun_(context_.intervals.now()), fresh_tools_(context_.tools ? std::make_unique<const ToolCallReader>(*context_.tools) : nullptr) {}

double Completion::elapsed_ms() const { return static_cast<double>((context_.intervals.now() - begun_).count()); }

bool Completion::forget() {
  std::lock_guard lock(mutex_);
  if (finished_ || streaming_) return false;
  forget_heard();
  return true;
}

void Completion::forget_heard() {
  answer_ = {};
  embeddings_.clear();
  place_ = {};
  heard_ = {};
  first_token_ms_ = 0;
  if (fresh_tools_) context_.tools = std::make_unique<ToolCallReader>(*fresh_tools_);
  if (context_.guard) context_.guard->begin_again();
}

// What a candidate can't answer the release that stands does, as long as nobody has seen anything of it. The candidate is blamed all the same.
bool Completion::fall_back(Fault fault) {
  std::optional<Context::Fallback> fallback;
  {
    std::lock_guard lock(mutex_);
    if (finished_ || streaming_ || !context_.fallback) return false;
    if (fault == Fault::engines && context_.meter) context_.meter->add_error();
    if (fault == Fault::requests) refused_by_ = context_.meter;
    fallback.swap(context_.fallback);
    context_.meter = fallback->meter;
    context_.version = fallback->version;
    forget_heard();
  }
  return fallback->ask(shared_from_this());
}

// The engine has counted the prompt: what is beyond a limit goes no further.
void Completion::on_started(int prompt_tokens) {
  std::function<void()> stop;
  {
    std::lock_guard lock(mutex_);
    heard_.prompt = prompt_tokens;
    if (finished_) return;
    const bool too_long = context_.prompt_tokens_max > 0 && prompt_tokens > context_.prompt_tokens_max;
    tl::expected<void, BudgetRefusal> begun;
    if (!too_long && context_.reservation) begun = context_.reservation->start(prompt_tokens);
    if (!too_long && begun) return;
    fail_early(too_long ? refusal(400, "the prompt is longer than this key may send", "invalid_request_error", "context_length_exceeded", {}, is_embedding() ? "input" : "messages")
                        : limit_reached(begun.error()));
    stop_wanted_ = true;
    stop = std::exchange(stop_, nullptr);
  }
  if (stop) stop();
}

void Completion::fail_early(http::Response response) {
  using enum GatewayMetrics::Count;
  context_.metrics.add(response.status == 429 ? throttled : response.status >= 500 ? errors : client_errors);
  context_.reservation.reset();
  finish(response.status);
  send_failure(std::move(response));
}

// What the client has to name where it asks why.
void Completion::send_failure(http::Response response) {
  for (const auto& [name, value] : context_.headers) response.headers.add(name, value);
  responder_.send(in_dialect(context_.dialect, std::move(response)));
}

void Completion::answer_instead(http::Response response) {
  std::lock_guard lock(mutex_);
  if (!finished_) fail_early(std::move(response));
}

void Completion::on_stop(std::function<void()> stop) {
  {
    std::lock_guard lock(mutex_);
    if (!stop_wanted_) {
      if (!finished_) stop_ = std::move(stop);
      return;
    }
  }
  stop();
}

// Once: an answer has one head.
http::Headers Completion::take_headers(const char* content_type) {
  auto headers = std::move(context_.headers);
  headers.add("Content-Type", content_type);
  if (context_.seed) headers.add("X-Redoubt-Seed", std::to_string(*context_.seed));
  if (!context_.version.empty()) headers.add("X-Redoubt-Version", context_.version);
  return headers;
}

Status Completion::write(const std::string& events) {
  if (events.empty()) return {};
  return responder_.write(context_.framing == Framing::aws_event_stream ? payload_part(events) : events);
}

void Completion::begin_stream() {
  if (std::exchange(streaming_, true)) return;
  const bool is_aws = context_.framing == Framing::aws_event_stream;
  auto headers = take_headers(is_aws ? kEventStreamType : "text/event-stream; charset=utf-8");
  if (is_aws) headers.add("X-Amzn-SageMaker-Content-Type", "text/event-stream");
  responder_.begin(200, std::move(headers));
  (void)write(stream_begin(context_.frame));
}

Piece Completion::with_names(ToolCallReader::Found found) {
  Piece piece{std::move(found.text)};
  for (auto& call : found.calls) piece.calls.push_back({"call_" + crypto::draw_identifier(12), std::move(call)});
  return piece;
}

void Completion::on_token(const Piece& piece) {
  std::function<void()> stop;
  {
    std::lock_guard lock(mutex_);
    if (finished_) return;
    if (first_token_ms_ == 0) first_token_ms_ = elapsed_ms();
    heard_.answer += static_cast<std::int64_t>(std::max<std::size_t>(1, piece.logprobs.size()));
    if (!context_.tools) tell(piece);
    else if (auto known = with_names(context_.tools->take(piece.text)); !known.empty()) tell(std::move(known));
    if (!is_cut()) return;
    // Nothing more of the answer may be told: what goes on is stopped.
    complete({context_.guard->ended(), static_cast<int>(heard_.prompt), static_cast<int>(heard_.answer)});
    stop_wanted_ = true;
    stop = std::exchange(stop_, nullptr);
  }
  if (stop) stop();
}

void Completion::on_text(const TextRead& text) {
  std::lock_guard lock(mutex_);
  if (!finished_) embeddings_.push_back(text.embedding);
}

void Completion::tell(Piece piece) {
  if (!context_.guard) return write_piece(piece);
  if (auto known = context_.guard->take(std::move(piece)); !known.empty()) write_piece(known);
  meter_guard();
}

// What a release's answers hold that they may not is one of its alarms.
void Completion::meter_guard() {
  for (auto hits = context_.guard->take_count(); hits > 0 && context_.meter; --hits) context_.meter->add_guard_hit();
}

void Completion::write_piece(const Piece& piece) {
  answer_.append(piece);
  if (!context_.stream) return;
  begin_stream();
  // A client that reads too slowly is cut: waiting for it would hold the worker's thread, and leaving text out would be a
  // lie.
  if (auto written = write(stream_token(context_.frame, piece, place_));
      !written && written.error().code == ErrorCode::limit_exceeded)
    responder_.abort();
}

void Completion::on_times(const telemetry::AnswerTimes& times) {
  std::lock_guard lock(mutex_);
  if (finished_) return;
  if (context_.seen) context_.seen->answered(times);
  if (!is_embedding()) context_.metrics.add_times(times);
}

void Completion::on_done(const GenerateEnd& end) {
  std::lock_guard lock(mutex_);
  if (left_) return charge_left({end.prompt_tokens, end.completion_tokens});
  if (!finished_) complete(end);
}

std::string Completion::body_of(const GenerateEnd& end) const {
  if (is_embedding()) return embeddings_body(context_.frame.model, embeddings_, context_.base64, end.prompt_tokens);
  return answer_body(context_.frame, answer_, end);
}

void Completion::capture(const std::string& body) {
  using enum GatewayMetrics::Capture;
  if (context_.capture == nullptr) return context_.metrics.add_capture(unsampled);
  const bool is_taken = context_.capture->record({context_.frame.id, context_.clock.now(), context_.frame.model, context_.input, body, context_.inference_id});
  context_.metrics.add_capture(is_taken ? captured : dropped);
}

void Completion::complete(GenerateEnd end) {
  if (context_.tools && !is_cut()) {
    if (auto rest = with_names(context_.tools->end()); !rest.empty()) tell(std::move(rest));
  }
  if (context_.guard) {
    if (auto rest = context_.guard->end(); !rest.empty()) write_piece(rest);
    if (is_cut()) end.finish_reason = context_.guard->ended();
    meter_guard();
  }
  if (!answer_.calls.empty() && end.finish_reason == "stop") end.finish_reason = "tool_calls";
  if (context_.reservation) context_.reservation->settle({end.prompt_tokens, end.completion_tokens});
  auto body = body_of(end);
  if (is_embedding()) context_.metrics.add_embedding(static_cast<std::uint64_t>(end.prompt_tokens), elapsed_ms());
  else context_.metrics.add_generation(static_cast<std::uint64_t>(end.prompt_tokens),
                                       static_cast<std::uint64_t>(end.completion_tokens), static_cast<std::uint64_t>(end.reused_tokens), elapsed_ms(), first_token_ms_,
                                       end.finish_reason == "length" || end.finish_reason == "content_filter" ? end.finish_reason : "stop",
                                       context_.frame.protocol == Protocol::chat ? GatewayMetrics::Operation::chat : GatewayMetrics::Operation::text_completion);
  if (context_.meter) context_.meter->add_answer(elapsed_ms());
  if (refused_by_) refused_by_->add_error();
  capture(body);
  if (context_.seen) {
    auto& record = context_.seen->record;
    if (!is_embedding()) record.finish_reason = end.finish_reason;
    record.prompt_tokens = end.prompt_tokens;
    record.completion_tokens = end.completion_tokens;
    record.reused_tokens = end.reused_tokens;
  }
  finish(200);
  if (!context_.stream) return responder_.send({200, take_headers("application/json"), std::move(body), {}, 0, 0});
  begin_stream();
  (void)write(stream_end(context_.frame, end));
  responder_.end();
}

void Completion::on_error(const Error& error) {
  const bool too_long = error.code == ErrorCode::limit_exceeded;
  const bool theirs = too_long || error.code == ErrorCode::invalid_argument;
  const auto fault = theirs ? Fault::requests : error.where == kQueueWhere ? Fault::nobodys : Fault::engines;
  if (fall_back(fault)) return;
  std::lock_guard lock(mutex_);
  if (left_) return charge_left(heard_);
  if (finished_) return;
  if (fault == Fault::engines && context_.meter) context_.meter->add_error();
  spdlog::warn("generation {} failed: {}", context_.frame.id, error.message);
  // What was not answered is not paid for, and of what broke off what came.
  if (context_.reservation) context_.reservation->settle(streaming_ ? heard_ : TokenUse{});
  // What the engine said stays in the log: it may name paths or quote the prompt.
  auto body = too_long ? error_body("the prompt does not fit the model's context", "invalid_request_error", is_embedding() ? "input" : "messages",
                                    "context_length_exceeded")
              : theirs ? refusal_body(error.where)
                       : error_body("the model could not answer, try again", "server_error", "", "engine_unavailable");
  int status = theirs ? 400 : 503;
  context_.metrics.add(theirs ? GatewayMetrics::Count::client_errors : GatewayMetrics::Count::errors);
  finish(status);
  if (streaming_) {
    (void)responder_.write(context_.framing == Framing::aws_event_stream ? stream_failure(with_aws_message(body, "Message")) : stream_error(body));
    return responder_.end();
  }
  http::Headers headers{{"Content-Type", "application/json"}};
  if (!theirs) headers.add("Retry-After", "5");
  send_failure({status, std::move(headers), std::move(body), {}, 0, 0});
}

void Completion::refuse(const Error& error, int retry_s) {
  const bool full = error.code == ErrorCode::limit_exceeded;
  if (fall_back(full ? Fault::nobodys : Fault::engines)) return;
  std::lock_guard lock(mutex_);
  if (finished_) return;  // the client left while its prompt was read for the guards
  int status = full ? 429 : 503;
  auto body = full ? error_body("too many requests wait already", "rate_limit_error", "", "queue_full")
                   : error_body("the model is not ready, try again", "server_error", "", "engine_unavailable");
  context_.metrics.add(full ? GatewayMetrics::Count::throttled : GatewayMetrics::Count::errors);
  finish(status);
  send_failure({status, {{"Content-Type", "application/json"}, {"Retry-After", full ? std::to_string(retry_s) : "5"}}, std::move(body), {}, 0, 0});
}

void Completion::client_left() {
  std::lock_guard lock(mutex_);
  if (finished_) return;
  left_ = true;
  finish(499);  // nginx's number for it; only metrics see it
}

// Once, with the lock held. What never got a slot costs nothing.
void Completion::charge_left(TokenUse made) {
  const auto reservation = std::exchange(context_.reservation, nullptr);
  if (heard_.prompt == 0) return;
  if (reservation) reservation->settle(made);
  context_.metrics.add_unfinished(static_cast<std::uint64_t>(made.prompt), static_cast<std::uint64_t>(made.answer));
}

void Completion::finish(int status) {
  finished_ = true;
  context_.metrics.add_response(context_.route, status);
  context_.admission.reset();
  if (!left_) context_.reservation.reset();
  if (context_.seen == nullptr) return;
  if (heard_.answer > 0) context_.seen->record.first_token_ms = static_cast<std::int64_t>(first_token_ms_);
  if (context_.seen->record.completion_tokens == 0) {  // an answer that broke off
    context_.seen->record.prompt_tokens = heard_.prompt;
    context_.seen->record.completion_tokens = heard_.answer;
  }
  context_.seen->end(status);
}

}  // namespace redoubt::gateway
