// SPDX-License-Identifier: Apache-2.0
#include "engine/generate/worker.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <span>

#include "base/bytes.h"
#include "engine/generate/request_fields.h"

namespace redoubt::engine::generate {
namespace {

constexpr std::size_t kReadBytes = 256 << 10;
constexpr float kLogprobMin = -9999;  // JSON has no infinity; OpenAI writes this
constexpr double kNatsMax = 9999;
// What a refusal may name; `where` of other errors is not for the gateway.
constexpr std::array<std::string_view, 13> kParameters = {"temperature",      "top_p",             "top_k",      "min_p",        "repetition_penalty",
                                                          "presence_penalty", "frequency_penalty", "logit_bias", "top_logprobs", "max_tokens", "response_format", "model", "input"};
constexpr std::string_view kFieldOfRequest = "request: ";

bool is_temporary(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

}  // namespace

Result<std::size_t> WorkerModel::adapter_of(std::string_view name) const {
  if (name.empty()) return default_adapter;
  const auto found = std::ranges::find(adapters, name);
  if (found == adapters.end()) return fail(ErrorCode::invalid_argument, "there is no such adapter", "model");
  return static_cast<std::size_t>(found - adapters.begin()) + 1;
}

Worker::Worker(int socket, WorkerModel model, WorkerOptions options)
    : socket_(socket),
      model_(std::move(model)),
      options_(options),
      scheduler_(model_.sequences, model_.tokenizer, model_.end_tokens, *this, options.scheduler) {
  if (model_.texts == nullptr) return;
  Listener& self = *this;  // a private base: nobody else may make it
  reader_.emplace(*model_.texts, self, [this](const std::string& id, const TextRead& text) { read_text(id, text); }, options_.reader);
}

Status Worker::run() {
  if (::fcntl(socket_, F_SETFL, ::fcntl(socket_, F_GETFL) | O_NONBLOCK) != 0) return fail_errno(errno, "cannot prepare the worker's socket", "");
  Json named = Json::array();
  for (std::size_t i = 0; i < model_.adapters.size(); ++i)
    if (i + 1 != model_.default_adapter) named.push_back(model_.adapters[i]);
  Json ready = {{"type", "ready"}, {"protocol", 1}, {"context_length", model_.sequences.context_length()}, {"slots", model_.sequences.slots()}, {"adapters", named}, {"tools", true}};
  if (reader_) ready["embedding_length"] = reader_->width();
  send(std::move(ready));
  while (true) {
    TRY(flush());
    if (!TRY(wait())) return {};
    if (!clogged()) take_lines();
    work();
  }
}

// Answers and texts take turns: neither waits for the other's end.
void Worker::work() {
  if (!clogged() && scheduler_.busy()) scheduler_.step();
  if (!clogged() && reader_ && reader_->busy()) reader_->step();
}

Result<bool> Worker::wait() {
  const bool reads = !clogged();
  pollfd poll{socket_, static_cast<short>((reads ? POLLIN : 0) | (sent_ < unsent_.size() ? POLLOUT : 0)), 0};
  const bool works = reads && (busy() || received_.find('\n', searched_) != std::string::npos);
  if (::poll(&poll, 1, works ? 0 : -1) < 0 && errno != EINTR) return fail_errno(errno, "cannot wait for the gateway", "");
  if (poll.revents & POLLIN) return receive();
  return (poll.revents & (POLLHUP | POLLERR | POLLNVAL)) == 0;
}

Result<bool> Worker::receive() {
  const auto before = received_.size();
  received_.resize(before + kReadBytes);
  const auto count = ::recv(socket_, received_.data() + before, kReadBytes, 0);
  received_.resize(before + static_cast<std::size_t>(std::max<ssize_t>(0, count)));
  if (count > 0) return true;
  if (count == 0 || errno == ECONNRESET) return false;
  if (is_temporary(errno)) return true;
  return fail_errno(errno, "cannot read from the gateway", "");
}

Status Worker::flush() {
  while (sent_ < unsent_.size()) {
    const auto count = ::send(socket_, unsent_.data() + sent_, unsent_.size() - sent_, MSG_NOSIGNAL);
    if (count < 0 && is_temporary(errno)) break;
    if (count < 0 && (errno == EPIPE || errno == ECONNRESET)) break;  // the next read sees the end of the stream
    if (count < 0) return fail_errno(errno, "cannot write to the gateway", "");
    sent_ += static_cast<std::size_t>(count);
  }
  if (sent_ == unsent_.size()) unsent_.clear(), sent_ = 0;
  return {};
}

void Worker::take_lines() {
  std::size_t begin = 0;
  while (!clogged()) {
    const auto end = received_.find('\n', std::max(begin, searched_));
    if (end == std::string::npos) {
      searched_ = received_.size();
      break;
    }
    if (!skipping_) take_line(std::string_view(received_).substr(begin, end - begin));
    skipping_ = false;
    begin = searched_ = end + 1;
  }
  received_.erase(0, begin);
  searched_ -= begin;
  if (received_.size() <= kLineBytesMax || searched_ != received_.size()) return;
  if (!skipping_) failed("", Error{ErrorCode::limit_exceeded, "a line is longer than 8 MiB"});
  skipping_ = true;
  received_.clear();
  searched_ = 0;
}

void Worker::take_line(std::string_view line) {
  if (line.size() > kLineBytesMax) return failed("", Error{ErrorCode::limit_exceeded, "a line is longer than 8 MiB"});
  const auto message = parse_json(line, "request", {.bytes_max = kLineBytesMax, .depth_max = 8});
  if (!message) return failed("", message.error());
  const auto id = request_id(*message);
  if (!id) return failed("", id.error());
  if (const auto handled = handle(*message, *id); !handled) failed(*id, handled.error());
}

Status Worker::handle(const Json& message, const std::string& id) {
  const auto type = TRY(json_string(message, "type", "request"));
  if (type == "generate") return scheduler_.submit(TRY(parse_request(message, id)));
  if (type == "read") return handle_read(message, id);
  TRY(expect_fields(message, {"type", "id"}));
  if (type == "ping") {
    send({{"type", "pong"}, {"id", id}});
    return {};
  }
  if (type != "cancel") return fail(ErrorCode::invalid_argument, "an unknown type of message");
  scheduler_.cancel(id);
  if (reader_) reader_->cancel(id);
  return {};
}

Status Worker::handle_read(const Json& message, const std::string& id) {
  if (!reader_) return fail(ErrorCode::unsupported, "this worker reads no texts");
  TRY(expect_fields(message, {"type", "id", "texts", "adapter", "window"}));
  ReadRequest request;
  request.id = id;
  if (message.contains("adapter")) request.adapter = TRY(model_.adapter_of(TRY(json_string(message, "adapter", "request"))));
  else request.adapter = model_.default_adapter;
  request.window = static_cast<std::size_t>(TRY(parse_window(message)));
  for (const auto& text : TRY(parse_texts(message))) request.texts.push_back(text.tokens.empty() ? TRY(model_.encode_prompt(text.text)) : text.tokens);
  return reader_->submit(std::move(request));
}

void Worker::read_text(const std::string& id, const TextRead& text) {
  // Four bytes a number, the lowest first: as OpenAI's clients read them.
  static_assert(std::endian::native == std::endian::little);
  const auto bytes = std::as_bytes(std::span(text.embedding));
  Json message = {{"type", "text"}, {"id", id}, {"index", text.index}, {"tokens", text.tokens}, {"embedding", to_base64({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()})}};
  if (text.nats) message["nats"] = std::min(kNatsMax, *text.nats);
  if (text.window_nats) message["window_nats"] = std::min(kNatsMax, *text.window_nats);
  send(std::move(message));
}

Result<Request> Worker::parse_request(const Json& message, const std::string& id) const {
  const auto values = TRY(request_values(message));
  auto request = TRY(read_options(values));
  request.id = id;
  request.owner.scope = TRY(values.text("scope", ""));
  if (request.owner.scope.size() > kScopeBytesMax) return fail(ErrorCode::invalid_argument, "a scope has at most 512 bytes", "request");
  request.owner.adapter = TRY(model_.adapter_of(TRY(values.text("adapter", ""))));
  const auto prompt = TRY(read_prompt(values));
  request.prompt = TRY(prompt.text ? model_.encode_prompt(*prompt.text) : model_.encode_messages(prompt));
  return request;
}

void Worker::send(Json message) { unsent_ += dump_json(message) + "\n"; }

void Worker::started(const std::string& id, std::size_t prompt_tokens) {
  send({{"type", "started"}, {"id", id}, {"prompt_tokens", prompt_tokens}});
}

Json Worker::logprob_json(const TokenLogprob& one) const {
  const auto bytes = model_.tokenizer.token_bytes(one.id);
  return {{"bytes", std::vector<unsigned char>(bytes.begin(), bytes.end())}, {"logprob", std::max(kLogprobMin, one.logprob)}};
}

void Worker::piece(const std::string& id, const Piece& piece) {
  Json message = {{"type", "token"}, {"id", id}, {"text", piece.text}};
  for (const auto& one : piece.logprobs) {
    auto& entry = message["logprobs"].emplace_back(logprob_json(one.chosen));
    entry["top"] = Json::array();
    for (const auto& likely : one.top) entry["top"].push_back(logprob_json(likely));
  }
  send(std::move(message));
}

void Worker::done(const std::string& id, FinishReason reason, const Usage& usage) {
  Json message = {{"type", "done"},
                  {"id", id},
                  {"finish_reason", to_string(reason)},
                  {"prompt_tokens", usage.prompt},
                  {"completion_tokens", usage.completion},
                  {"reused_tokens", usage.reused}};
  if (usage.phases) message.update({{"queue_us", usage.phases->queue.count()}, {"prefill_us", usage.phases->prefill.count()}, {"decode_us", usage.phases->decode.count()}});
  send(std::move(message));
}

void Worker::failed(const std::string& id, const Error& error) {
  const auto message = error.hint.empty() ? error.message : error.message + "; " + error.hint;
  Json answer = {{"type", "error"}, {"id", id}, {"code", redoubt::to_string(error.code)}, {"message", message}};
  std::string_view where = error.where;
  if (where.starts_with(kFieldOfRequest)) where.remove_prefix(kFieldOfRequest.size());
  if (std::ranges::find(kParameters, where) != kParameters.end()) answer["param"] = where;
  send(std::move(answer));
}

}  // namespace redoubt::engine::generate
