// SPDX-License-Identifier: Apache-2.0
//
// Any HTTP/2 frames of a client, through TLS in memory into the server's own session, with handlers that answer at once, in pieces, later or
// never. Whatever comes, requests obey their limits, nothing is held once the session is gone, and no input keeps the thread.
#include <sys/socket.h>

#include "base/check.h"
#include "fuzz_input.h"
#include "http/http2_session.h"
#include "http/testing_client.h"

using namespace redoubt;
using namespace redoubt::http;
using namespace redoubt::http::detail;

namespace {

constexpr int kStepsMax = 20'000;
constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr std::string_view kNoSettings("\0\0\0\4\0\0\0\0\0", 9);

ServerOptions small_limits() {
  ServerOptions options;
  options.head_bytes_max = 2048;
  options.target_bytes_max = 512;
  options.headers_max = 8;
  options.body_bytes_max = 1000;
  options.body_bytes_total_max = 4000;
  options.stream_bytes_max = 4096;
  options.streams_max = 8;
  options.headers = {{"Cache-Control", "no-store"}};
  return options;
}

class Answers final : public Handler {
 public:
  std::optional<Response> on_head(Request& request) override {
    check(request);
    CHECK(request.body.empty());
    if (request.path == "/no") return Response{403, {}, "no", {}, 0, 0};
    return std::nullopt;
  }
  void on_request(Request request, Responder responder) override {
    check(request);
    if (request.path == "/later") return later.push_back(std::move(responder));
    if (request.path == "/never") return;
    if (request.path != "/pieces") return responder.send({request.path == "/empty" ? 204 : 200, {{"X", request.method}}, request.body + request.query, {}, 0, 0});
    responder.begin(200, {});
    (void)responder.write(std::string(3000, 'a'));
    (void)responder.write(std::string(3000, 'b'));
    request.query == "cut" ? responder.abort() : responder.end();
  }
  std::vector<Responder> later;

 private:
  static void check(const Request& request) {
    const auto limits = small_limits();
    CHECK(!request.method.empty() && path_segments(request.path));
    CHECK(request.path.size() + request.query.size() <= limits.target_bytes_max);
    CHECK(request.headers.size() <= limits.headers_max + 1);  // and the host, of :authority
    CHECK(request.body.size() <= limits.body_bytes_max);
    for (const auto& [name, value] : request.headers)
      for (const char c : name + value) CHECK(static_cast<unsigned char>(c) >= 0x20 || c == '\t');
  }
};

// Two ends of a connection whose handshake is done. Sessions come and go over it.
class World {
 public:
  World() {
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    client_fd_ = Fd(ends[0]);
    const auto certificate = http::testing::make_test_certificate();
    server_context_ = crypto::TlsServerContext::create({certificate.certificate_pem, certificate.private_key_pem}).value();
    client_context_ = crypto::TlsClientContext::create(certificate.ca_pem).value();
    client_ = client_context_->connect(client_fd_.get(), "localhost").value();
    Fd server_fd(ends[1]);
    auto tls = server_context_->accept(server_fd.get()).value();
    transport_ = std::make_unique<Transport>(std::move(server_fd), std::move(tls), shared_);
    for (bool is_client_done = false, is_server_done = false; !is_client_done || !is_server_done;) {
      is_client_done = client_->handshake() == crypto::TlsOutcome::done;
      is_server_done = transport_->handshake() == Transport::Outcome::done;
    }
    shared_.name_fields();
    shared_.set_date("Thu, 01 Jan 1970 00:00:00 GMT");
  }

  void run(std::string_view frames, std::size_t piece, bool drains) {
    now_ = SteadyTime(std::chrono::hours(1));
    {
      Http2Session session(1, {"127.0.0.1", nullptr}, *transport_, shared_);
      bool open = feed(session, kPreface) && feed(session, kNoSettings);
      while (open && !frames.empty()) {
        open = feed(session, frames.substr(0, piece));
        frames.remove_prefix(std::min(piece, frames.size()));
      }
      if (drains && open && session.drain() == Session::Next::again) open = step(session);
      for (auto& responder : answers_.later) responder.send({200, {}, "late", {}, 0, 0});
      answers_.later.clear();
      if (open) open = step(session);
      now_ += std::chrono::hours(1);
      for (int i = 0; i < 3 && open; ++i) open = session.on_tick() != Session::Next::cut && step(session);
    }
    CHECK(shared_.body_room.used() == 0);
    shared_.bell->take(rung_);
    clear();
  }

 private:
  bool feed(Http2Session& session, std::string_view bytes) {
    const auto io = client_->write(view_of(bytes));
    CHECK(io.outcome == crypto::TlsOutcome::done && io.bytes == bytes.size());
    return step(session);
  }

  // False once the session has ended.
  bool step(Http2Session& session) {
    for (int i = 0; i < kStepsMax; ++i) {
      take_answers();
      transport_->readable = transport_->writable = true;
      const auto next = session.step();
      if (next == Session::Next::wait && transport_->waiting() == 0) return true;
      if (next == Session::Next::cut || next == Session::Next::linger) return false;
    }
    CHECK(false && "a session that never rests");
    return false;
  }

  void take_answers() {
    std::uint8_t bytes[16 << 10];
    while (client_->read(bytes).outcome == crypto::TlsOutcome::done) {}
  }

  // What a session that ended left on its way, either way.
  void clear() {
    std::string_view rest;
    do transport_->readable = true;
    while (transport_->read(rest) == Transport::Outcome::done);
    for (take_answers(); transport_->waiting() > 0; take_answers()) {
      transport_->writable = true;
      CHECK(transport_->flush() != Transport::Outcome::broken);
    }
  }

  Answers answers_;
  SteadyTime now_{};
  std::vector<std::uint64_t> rung_;
  Shared shared_{small_limits(), {2048, 512, 8, 1000}, answers_, Bell::create().value(), now_};
  Fd client_fd_;
  std::shared_ptr<const crypto::TlsServerContext> server_context_;
  std::shared_ptr<const crypto::TlsClientContext> client_context_;
  std::unique_ptr<crypto::TlsConnection> client_;
  std::unique_ptr<Transport> transport_;
};

// Frames of a type, flags, a stream and a length of a byte each, and the payload: so that most of what the fuzzer changes is still frames.
std::string framed(std::string_view text) {
  std::string frames;
  while (text.size() >= 4) {
    const auto payload = text.substr(4, static_cast<unsigned char>(text[3]));
    frames += {'\0', '\0', static_cast<char>(payload.size()), text[0], text[1], '\0', '\0', '\0', text[2]};
    frames += payload;
    text.remove_prefix(4 + payload.size());
  }
  return frames;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static World world;
  if (size < 2 || size > 8192) return 0;
  const auto text = fuzz_text(data, size);
  const bool is_framed = (text[0] & 1) != 0, drains = (text[0] & 2) != 0;
  const std::size_t piece = text[1] == 0 ? 8192 : 8u * static_cast<unsigned char>(text[1]) + 1;  // a TLS record each
  world.run(is_framed ? framed(text.substr(2)) : std::string(text.substr(2)), piece, drains);
  return 0;
}
