// SPDX-License-Identifier: Apache-2.0
//
// An HTTPS server for HTTP/1.1 and HTTP/2: one thread with epoll (http/reactor.h) and non-blocking TLS. Nothing is ever answered in clear; a client
// that does not finish its handshake, its request or its reading in time is dropped; every size and count has a limit. Handlers see
// no difference between the two but that a connection may have several requests under way.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "base/secret.h"
#include "crypto/tls.h"
#include "http/message.h"

namespace redoubt::http {

class Reactor;

namespace detail {
class Exchange;
class Loop;
}  // namespace detail

// The way to answer one request, from any thread, by `send` or by `begin`, `write`..., `end`. Copies are the same answer.
// When the last copy goes away without an end, the server answers 500, or cuts the stream if it had begun. Functions never
// block.
class Responder {
 public:
  explicit Responder(std::shared_ptr<detail::Exchange> exchange);

  // A whole answer. Once, and not after `begin`.
  void send(Response response) const;

  // Starts a streamed answer (chunked). Once, and not after `send`.
  void begin(int status, Headers headers) const;
  // Queues bytes. limit_exceeded when more than `stream_bytes_max` wait for the client (nothing was queued: cancel the work
  // or try again after on_drain); unavailable when the client is gone.
  Status write(std::string_view bytes) const;
  void end() const;
  // Ends the connection without ending the answer, so that the client sees it is incomplete.
  void abort() const;

  // Called once, on the server's thread, when the client leaves before the end (or `abort` makes it leave); at once if it
  // already has. Must not block.
  void on_abort(std::function<void()> callback) const;
  // Called once, on the server's thread, when less than half of `stream_bytes_max` waits for the client.
  void on_drain(std::function<void()> callback) const;

 private:
  std::shared_ptr<void> guard_;
  std::shared_ptr<detail::Exchange> exchange_;
};

// Called on the server's thread: it must return soon; slow work moves the Responder to another thread.
class Handler {
 public:
  virtual ~Handler() = default;
  // Sees the request before its body is read (`body` is empty), and may name its payer. An answer here refuses it: the body is not kept.
  virtual std::optional<Response> on_head(Request& request) {
    (void)request;
    return std::nullopt;
  }
  virtual void on_request(Request request, Responder responder) = 0;
  // The answer to bytes that are no acceptable request. `why` is a fixed sentence; where the body is refused `on_head` has seen the request.
  enum class Refused { head, body };
  virtual Response on_refusal(int status, std::string_view why, Refused what) {
    (void)what;
    Headers headers{{"Content-Type", "text/plain; charset=utf-8"}};
    if (status == 405) headers.add("Allow", "GET, HEAD");
    return {status, std::move(headers), std::string(why) + "\n", {}, 0, 0};
  }
};

enum class Http2 { offered, off };

struct ServerOptions {
  std::string host = "127.0.0.1";  // a numeric IPv4 or IPv6 address
  std::uint16_t port = 0;          // 0: the system chooses, see Server::port
  std::string certificate_pem;     // the chain, leaf first
  Secret private_key_pem;
  bool allow_tls_1_2 = false;
  crypto::ClientCertificates client_certificates = crypto::ClientCertificates::none;
  std::string client_roots_pem = {};
  Http2 http_2 = Http2::offered;

  std::size_t head_bytes_max = 16 << 10;  // request line and headers
  std::size_t target_bytes_max = 8 << 10;
  std::size_t headers_max = 64;
  std::size_t body_bytes_max = 1 << 20;
  std::size_t body_bytes_total_max = 256 << 20;  // of all requests that are being read or handled; of a payer's no more than is left (body_room.h)
  std::size_t stream_bytes_max = 1 << 20;        // of a streamed answer that the client has not yet taken
  std::size_t streams_max = 100;  // of an HTTP/2 connection at once
  std::size_t connections_max = 1024;
  std::size_t connections_per_source_max = 256;  // an address, or a network of IPv6 (source.h); 0 is no limit

  int handshake_ms_max = 10'000;
  int idle_ms_max = 60'000;  // between requests
  int head_ms_max = 10'000;  // from the first byte of a request to the end of its headers
  int body_ms_max = 60'000;  // from there to the end of its body
  int send_ms_max = 30'000;  // for what waits to be sent at one moment (at most about stream_bytes_max) to be taken
  int answer_ms_max = 0;     // from a request's end to its answer's last byte, however the client reads; 0 is no limit
  int linger_ms_max = 2'000;

  Headers headers;  // added to every answer

  std::shared_ptr<Reactor> reactor = {};  // whose thread serves, beside its other members; null: one of its own
};

class Server {
 public:
  // Binds, and serves until dropped. `handler` outlives the server. invalid_argument for a bad address, certificate or key;
  // unavailable when the port is taken.
  static Result<std::unique_ptr<Server>> start(ServerOptions options, Handler& handler);
  // Where `before` listens, whatever the options say of host and port: both take connections until that one is drained, and no client finds the
  // port closed. unavailable when it is drained already.
  static Result<std::unique_ptr<Server>> succeed(const Server& before, ServerOptions options, Handler& handler);
  ~Server();

  std::uint16_t port() const;
  std::size_t connections() const;
  // New handshakes use this chain and key; connections that are open keep theirs.
  Status replace_certificate(const std::string& certificate_pem, const Secret& private_key_pem);
  // Takes no more connections, finishes the requests that are under way, closes idle connections, and returns when none is
  // left or the time is over (what is left is cut). True when nothing was cut. The server serves no more after it.
  bool drain(std::chrono::milliseconds time_max);

 private:
  explicit Server(std::unique_ptr<detail::Loop> loop);
  std::unique_ptr<detail::Loop> loop_;
};

}  // namespace redoubt::http
