// SPDX-License-Identifier: Apache-2.0
#include "engine/serve/container.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <random>

#include "base/bytes.h"
#include "openai/control_tokens.h"

namespace redoubt::engine::serve {
namespace {

using openai::error_body;
constexpr const char* kJson = "application/json";

Result<Fd> bind_to(std::uint16_t port) {
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_ANY);
  const std::string where = "port " + std::to_string(port);
  if (!fd || ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) return fail_errno(errno, "open a socket", where);
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || ::listen(fd.get(), 128) != 0) {
    return fail(ErrorCode::unavailable, "the port can't be listened on: " + std::string(std::strerror(errno)), where, "name a free one in SAGEMAKER_BIND_TO_PORT");
  }
  return fd;
}

std::uint16_t port_of(int fd) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  return ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0 ? ntohs(address.sin_port) : 0;
}

// A call's name: no secret, but no other call's either.
std::string call_name() {
  std::random_device random;
  std::string name = "call_";
  for (int i = 0; i < 3; ++i) {
    const std::uint32_t drawn = random();
    name += to_hex({reinterpret_cast<const std::uint8_t*>(&drawn), sizeof drawn});
  }
  return name;
}

openai::Piece with_names(openai::ToolCallReader::Found found) {
  openai::Piece piece{std::move(found.text)};
  for (auto& call : found.calls) piece.calls.push_back({call_name(), std::move(call)});
  return piece;
}

std::int64_t seconds_now() { return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count(); }

struct Failure {
  int status;
  std::string body;
};

// What the engine says may quote the prompt: the client is told the kind alone.
Failure failure_of(const Error& error) {
  if (error.where == "response_format") return {400, openai::refusal_body(error.where)};
  if (error.where == "queue") return {429, error_body("too many requests wait already", "rate_limit_error", "", "queue_full")};
  if (error.code == ErrorCode::limit_exceeded)
    return {400, error_body("the prompt does not fit the model's context", "invalid_request_error", "messages", "context_length_exceeded")};
  if (error.code == ErrorCode::invalid_argument || error.code == ErrorCode::unsupported) return {400, openai::refusal_body(error.where)};
  return {503, error_body("the model could not answer, try again", "server_error", "", "engine_unavailable")};
}

}  // namespace

Result<std::unique_ptr<Container>> Container::listen(ContainerOptions options, Generate generate) {
  Fd listener = TRY(bind_to(options.port));
  options.requests.model_default = options.model;  // a container serves one
  const auto port = port_of(listener.get());
  return std::unique_ptr<Container>(new Container(std::move(options), std::move(generate), std::move(listener), port));
}

Container::~Container() {
  for (auto& client : clients_) client.thread.join();
}

Status Container::run(int stop) {
  while (true) {
    pollfd polls[] = {{stop, POLLIN, 0}, {listener_.get(), POLLIN, 0}};
    if (::poll(polls, 2, -1) < 0 && errno != EINTR) return fail_errno(errno, "wait for requests", "");
    if (polls[0].revents != 0) break;
    if (polls[1].revents != 0) accept_one();
    join_ended();
  }
  listener_.reset();
  draining_ = true;
  const std::lock_guard lock(mutex_);
  for (auto& client : clients_) {
    if (!client.busy && !client.ended) ::shutdown(client.fd, SHUT_RD);  // it waits for a request that will not be taken
  }
  return {};
}

void Container::accept_one() {
  Fd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!socket) return;
  const int on = 1;
  (void)::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (clients_.size() >= options_.connections_max) {
    Wire wire(std::move(socket), options_.wire);
    wire.close_after();
    return wire.send(503, kJson, error_body("too many connections", "server_error", "", "overloaded"));
  }
  auto& client = clients_.emplace_back();
  client.fd = socket.get();
  client.thread = std::thread([this, &client, socket = std::move(socket)]() mutable {
    Wire wire(std::move(socket), options_.wire);
    while (auto request = wire.read()) {
      client.busy = true;
      if (draining_) wire.close_after();
      handle(*request, wire);
      client.busy = false;
      if (draining_ || !wire.keeps_alive()) break;
    }
    const std::lock_guard lock(mutex_);
    client.ended = true;
  });
}

void Container::join_ended() {
  for (auto client = clients_.begin(); client != clients_.end();) {
    if (!client->ended) {
      ++client;
      continue;
    }
    client->thread.join();
    client = clients_.erase(client);
  }
}

void Container::handle(const http::Request& request, Wire& wire) {
  const bool is_ping = request.path == "/ping", is_invocation = request.path == "/invocations";
  if (!is_ping && !is_invocation) return wire.send(404, kJson, error_body("no such path", "invalid_request_error", "", "not_found"));
  if (request.method != (is_ping ? "GET" : "POST")) return wire.send(405, kJson, error_body("another method is asked for", "invalid_request_error", "", "method_not_allowed"));
  if (is_ping) return wire.send(200, kJson, "{}");
  invoke(request, wire);
}

void Container::invoke(const http::Request& request, Wire& wire) {
  const auto parsed = openai::parse_invocation(request.body, options_.requests);
  if (!parsed) return wire.send(400, kJson, error_body(parsed.error().message, "invalid_request_error", parsed.error().where, "invalid_request"));
  if (const auto field = openai::field_with_control_token(parsed->generate, options_.control_tokens)) {
    return wire.send(400, kJson, error_body(*field + " holds a text that the model reads as a control token", "invalid_request_error", *field, "control_token"));
  }
  auto asked = *parsed;
  asked.generate.adapter = asked.model;
  asked.generate.scope = asked.cache_salt;  // who asks is not known here, so nothing is shared that is not asked for
  answer(asked, wire);
}

void Container::answer(const openai::CompletionRequest& request, Wire& wire) {
  const bool is_chat = request.protocol == openai::Protocol::chat;
  const openai::AnswerFrame frame{request.protocol, (is_chat ? "chatcmpl-" : "cmpl-") + std::to_string(next_answer_++),
                                  request.model.empty() ? options_.model : request.model, seconds_now(), request.generate.top_logprobs.has_value(), request.include_usage};
  openai::Piece whole;
  openai::StreamPlace place;
  bool begun = false;
  const auto tell = [&](const openai::Piece& piece) {
    whole.append(piece);
    if (!request.stream) return wire.is_open();
    if (!std::exchange(begun, true) && (!wire.begin("text/event-stream; charset=utf-8") || !wire.write(stream_begin(frame)))) return false;
    return wire.write(stream_token(frame, piece, place));
  };
  std::optional<openai::ToolCallReader> tools;
  if (request.tools.may_call()) tools.emplace(request.tools);
  auto end = generate_(request.generate, [&](const openai::Piece& piece) {
    if (!tools) return tell(piece);
    const auto known = with_names(tools->take(piece.text));
    return known.empty() ? wire.is_open() : tell(known);
  });
  if (end && tools) {
    if (const auto rest = with_names(tools->end()); !rest.empty()) (void)tell(rest);
    if (!whole.calls.empty() && end->finish_reason == "stop") end->finish_reason = "tool_calls";
  }
  if (!end && !begun) {
    const auto failure = failure_of(end.error());
    return wire.send(failure.status, kJson, failure.body);
  }
  if (!request.stream) return wire.send(200, kJson, answer_body(frame, whole, *end));
  if (!begun) (void)(wire.begin("text/event-stream; charset=utf-8") && wire.write(stream_begin(frame)));
  (void)wire.write(end ? stream_end(frame, *end) : openai::stream_error(failure_of(end.error()).body));
  wire.end();
}

}  // namespace redoubt::engine::serve
