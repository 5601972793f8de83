// SPDX-License-Identifier: Apache-2.0
#include "http/connection.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>

#include "crypto/x509.h"

namespace redoubt::http::detail {
namespace {

constexpr std::size_t kReadBytes = 16 << 10;
constexpr std::size_t kSourceBytes = 256 << 10;
constexpr std::size_t kOutLow = 64 << 10;             // below this more is taken from the answer
constexpr std::uint64_t kDiscardBytesMax = 64 << 10;  // a refused body up to this is read off to keep the connection
constexpr int kStepsPerTurn = 64;

using crypto::TlsOutcome;

// Header text comes from handlers; a line break in it would start another header.
void append_header(std::string& out, std::string_view name, std::string_view value) {
  auto append = [&out](std::string_view text) {
    for (char c : text) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '_' : c;
  };
  append(name);
  out += ": ";
  append(value);
  out += "\r\n";
}

bool has_no_body(int status) { return status == 204 || status == 304 || status < 200; }

}  // namespace

Connection::Connection(std::uint64_t id, Fd fd, std::string peer, std::unique_ptr<crypto::TlsConnection> tls, Shared& shared)
    : id_(id),
      fd_(std::move(fd)),
      peer_(std::move(peer)),
      tls_(std::move(tls)),
      shared_(shared),
      body_parser_(RequestHead{}, 0) {
  set_deadline(shared_.options.handshake_ms_max);
}

Connection::~Connection() { close(); }

void Connection::set_deadline(int ms_max) { deadline_ = shared_.now + std::chrono::milliseconds(ms_max); }

void Connection::on_events(std::uint32_t events) {
  if (events & (EPOLLERR | EPOLLHUP)) return close();
  if ((events & EPOLLRDHUP) && phase_ == Phase::answer) return close();
  if (events & (EPOLLIN | EPOLLRDHUP)) readable_ = true;
  if (events & EPOLLOUT) writable_ = true;
  run();
}

void Connection::on_tick() {
  if (shared_.now < deadline_ && shared_.now < send_deadline_) return;
  bool slow_request = shared_.now >= deadline_ && (phase_ == Phase::body || (phase_ == Phase::head && head_begun_));
  if (slow_request && !verdict_) {
    refuse({408, "the request did not come in time"});
    run();
  } else {
    close();
  }
}

void Connection::drain() {
  readable_ = true;
  run();
  if (phase_ == Phase::handshake) close();
  if (phase_ == Phase::head && !head_begun_) start_linger();
}

std::uint32_t Connection::interest() const {
  std::uint32_t events = 0;
  if (phase_ == Phase::answer) events |= EPOLLRDHUP;
  if (phase_ != Phase::answer && !readable_) events |= EPOLLIN | EPOLLRDHUP;
  if (!writable_) events |= EPOLLOUT;
  return events;
}

// Everything that can be done without waiting, in bounded turns so that no client holds the thread.
void Connection::run() {
  for (int steps = 0; steps < kStepsPerTurn; ++steps)
    if (!step()) return;
  shared_.bell->ring(id_);
}

bool Connection::step() {
  switch (phase_) {
    case Phase::handshake: return step_handshake();
    case Phase::head: return step_head();
    case Phase::body: return step_body();
    case Phase::answer: return step_answer();
    case Phase::linger: return step_linger();
    case Phase::closed: return false;
  }
  return false;
}

bool Connection::step_handshake() {
  switch (tls_->handshake()) {
    case TlsOutcome::done: note_client(); expect_request(shared_.options.head_ms_max); return true;
    case TlsOutcome::want_read: readable_ = false; return false;
    case TlsOutcome::want_write: writable_ = false; return false;
    default: close(); return false;
  }
}

void Connection::note_client() {
  if (shared_.options.client_certificates == crypto::ClientCertificates::none) return;
  const auto info = crypto::read_certificate(tls_->peer_certificate());
  if (info) client_ = std::make_shared<const ClientCertificate>(ClientCertificate{info->common_name, info->dns_names, info->fingerprint.hex()});
}

void Connection::expect_request(int ms_max) {
  phase_ = Phase::head;
  checked_ = 0;
  head_begun_ = false;
  set_deadline(ms_max);
}

bool Connection::step_head() {
  if (!in_.empty() && !head_begun_) {
    head_begun_ = true;
    set_deadline(shared_.options.head_ms_max);
  }
  auto end = find_head_end(in_, checked_, shared_.parser_limits);
  if (!end) return refuse(end.error()), true;
  checked_ = in_.size();
  if (*end == 0) return read_more();
  auto head = parse_head(std::string_view(in_).substr(0, *end), shared_.parser_limits);
  if (!head) return refuse(head.error()), true;
  in_.erase(0, *end);
  start_body(std::move(*head));
  return true;
}

void Connection::start_body(RequestHead head) {
  request_ = std::move(head.request);
  request_.peer = peer_;
  request_.client = client_;
  is_head_ = request_.method == "HEAD";
  http_1_0_ = request_.is_http_1_0;
  keep_alive_ = head.keep_alive;
  body_parser_ = BodyParser(head, shared_.parser_limits.body_bytes_max);
  phase_ = Phase::body;
  set_deadline(shared_.options.body_ms_max);
  verdict_ = shared_.handler.on_head(request_);
  if (!verdict_) {
    if (head.expects_continue && in_.empty()) {
      out_ += "HTTP/1.1 100 Continue\r\n\r\n";
      queued_total_ += 25;
      flush();
    }
    return;
  }
  bool short_body =
      head.framing == BodyFraming::none || (head.framing == BodyFraming::length && head.body_bytes <= kDiscardBytesMax);
  if (short_body && !head.expects_continue) return;
  keep_alive_ = false;
  answer_now(*std::exchange(verdict_, std::nullopt));
}

bool Connection::step_body() {
  auto before = request_.body.size();
  auto used = body_parser_.consume(in_, request_.body);
  if (!used) return refuse(used.error()), true;
  in_.erase(0, *used);
  if (verdict_) {
    request_.body.clear();
  } else {
    auto more = request_.body.size() - before;
    body_charge_ += more;
    shared_.body_bytes += more;
    if (shared_.body_bytes > shared_.options.body_bytes_total_max)
      return refuse({503, "too many large requests at once"}), true;
  }
  if (!body_parser_.done()) return read_more();
  verdict_ ? answer_now(*std::exchange(verdict_, std::nullopt)) : dispatch();
  return true;
}

bool Connection::read_more() {
  if (!readable_) return flush(), false;
  std::array<std::uint8_t, kReadBytes> buffer;
  auto io = tls_->read(buffer);
  switch (io.outcome) {
    case TlsOutcome::done: in_.append(reinterpret_cast<const char*>(buffer.data()), io.bytes); return true;
    case TlsOutcome::want_read: readable_ = false; return flush(), false;
    case TlsOutcome::want_write: writable_ = false; return false;
    default: close(); return false;
  }
}

void Connection::dispatch() {
  phase_ = Phase::answer;
  deadline_ = SteadyTime::max();
  if (shared_.options.answer_ms_max > 0) set_deadline(shared_.options.answer_ms_max);
  exchange_ = std::make_shared<Exchange>(id_, shared_.bell, shared_.options.stream_bytes_max);
  shared_.handler.on_request(std::exchange(request_, {}), Responder(exchange_));
}

void Connection::answer_now(Response response) {
  phase_ = Phase::answer;
  deadline_ = SteadyTime::max();
  request_ = {};
  queue_whole(std::move(response));
}

// A request that could not be understood: where it ends is unknown, so nothing after it may be read as another.
void Connection::refuse(Refusal refusal) {
  keep_alive_ = false;
  verdict_.reset();
  answer_now(shared_.handler.on_refusal(refusal.status, refusal.why));
}

void Connection::queue_head(const Response& response, bool streamed) {
  if (shared_.draining) keep_alive_ = false;
  auto before = out_.size();
  out_ += "HTTP/1.1 " + std::to_string(response.status) + " ";
  out_ += reason_of(response.status);
  out_ += "\r\n";
  append_header(out_, "Date", shared_.date);
  for (const auto& [name, value] : shared_.options.headers) append_header(out_, name, value);
  for (const auto& [name, value] : response.headers) append_header(out_, name, value);
  if (streamed) {
    append_header(out_, "Transfer-Encoding", "chunked");
  } else if (!has_no_body(response.status)) {
    append_header(out_, "Content-Length", std::to_string(response.source ? response.length : response.body.size()));
  }
  if (!keep_alive_) append_header(out_, "Connection", "close");
  out_ += "\r\n";
  queued_total_ += out_.size() - before;
}

void Connection::queue_whole(Response response) {
  queue_head(response, false);
  complete_ = true;
  if (is_head_ || has_no_body(response.status)) return;
  out_ += response.body;
  queued_total_ += response.body.size();
  if (!response.source) return;
  source_ = std::move(response.source);
  source_offset_ = response.offset;
  source_rest_ = response.length;
}

void Connection::take_output(Exchange::Output output) {
  if (output.whole) return queue_whole(std::move(*output.whole));
  if (output.begun) {
    // HTTP/1.0 knows no chunks: there the end of the connection is the end of the answer (and such a request never keeps
    // it).
    chunked_ = !http_1_0_;
    queue_head(*output.begun, chunked_);
  }
  if (!output.bytes.empty() && !is_head_) {
    auto before = out_.size();
    if (chunked_) {
      char size[24];
      out_.append(size, static_cast<std::size_t>(std::snprintf(size, sizeof size, "%zx\r\n", output.bytes.size())));
    }
    out_ += output.bytes;
    if (chunked_) out_ += "\r\n";
    queued_total_ += out_.size() - before;
  }
  if (output.aborted) return close();
  if (!output.ended) return;
  complete_ = true;
  if (chunked_ && !is_head_) {
    out_ += "0\r\n\r\n";
    queued_total_ += 5;
  }
}

bool Connection::step_answer() {
  if (!complete_ && exchange_ && out_.size() - out_sent_ < kOutLow) take_output(exchange_->take());
  if (phase_ == Phase::closed) return false;
  if (source_rest_ > 0 && out_.size() - out_sent_ < kOutLow && !fill_from_source()) return false;
  if (!flush()) return false;
  if (!out_.empty()) return writable_;
  if (source_rest_ > 0) return true;
  if (!complete_) return false;
  finish_answer();
  return true;
}

bool Connection::fill_from_source() {
  auto count = static_cast<std::size_t>(std::min<std::uint64_t>(kSourceBytes, source_rest_));
  auto before = out_.size();
  out_.resize(before + count);
  auto read =
      source_->read_at(source_offset_, MutableByteView(reinterpret_cast<std::uint8_t*>(out_.data()) + before, count));
  if (!read) return close(), false;  // the client sees fewer bytes than were announced
  source_offset_ += count;
  source_rest_ -= count;
  queued_total_ += count;
  return true;
}

// One write; false when the connection broke or the socket is full.
bool Connection::flush() {
  if (out_.empty()) return true;
  if (writable_) {
    auto io = tls_->write(view_of(std::string_view(out_).substr(out_sent_)));
    if (io.outcome == TlsOutcome::want_write) {
      writable_ = false;
    } else if (io.outcome != TlsOutcome::done) {
      close();
      return false;
    }
    out_sent_ += io.bytes;
    sent_total_ += io.bytes;
  }
  note_progress();
  return writable_;
}

// What waits at one moment has send_ms_max to go, however it trickles; then the next moment counts.
void Connection::note_progress() {
  if (out_sent_ == out_.size()) {
    out_.clear();
    out_sent_ = 0;
    send_deadline_ = SteadyTime::max();
    return;
  }
  if (out_sent_ >= kOutLow) {
    out_.erase(0, out_sent_);
    out_sent_ = 0;
  }
  if (send_deadline_ != SteadyTime::max() && sent_total_ < marker_) return;
  marker_ = queued_total_;
  send_deadline_ = shared_.now + std::chrono::milliseconds(shared_.options.send_ms_max);
}

void Connection::finish_answer() {
  exchange_.reset();
  source_.reset();
  complete_ = chunked_ = is_head_ = false;
  shared_.body_bytes -= std::exchange(body_charge_, 0);
  if (!keep_alive_ || shared_.draining) return start_linger();
  expect_request(shared_.options.idle_ms_max);
}

// Closing a socket while bytes of the client are unread makes the system reset it, and the client may lose our last answer.
// So our side is shut first and what still comes is thrown away for a while.
void Connection::start_linger() {
  tls_->shutdown();
  ::shutdown(fd_.get(), SHUT_WR);
  phase_ = Phase::linger;
  readable_ = true;
  writable_ = true;
  in_.clear();
  set_deadline(shared_.options.linger_ms_max);
}

bool Connection::step_linger() {
  if (!readable_) return false;
  std::array<std::uint8_t, kReadBytes> buffer;
  auto count = ::recv(fd_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (count > 0) return true;
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return readable_ = false;
  close();
  return false;
}

void Connection::close() {
  if (phase_ == Phase::closed) return;
  if (phase_ == Phase::head && !head_begun_) tls_->shutdown();
  phase_ = Phase::closed;
  shared_.body_bytes -= std::exchange(body_charge_, 0);
  if (auto exchange = std::exchange(exchange_, nullptr)) exchange->client_left();
}

}  // namespace redoubt::http::detail
