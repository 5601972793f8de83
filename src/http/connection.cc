// SPDX-License-Identifier: Apache-2.0
#include "http/connection.h"

#include <sys/epoll.h>

#include <algorithm>

#include "http/http1_session.h"
#include "http/http2_session.h"

namespace redoubt::http::detail {
namespace {
constexpr int kStepsPerTurn = 64;
}

using Outcome = Transport::Outcome;
using Next = Session::Next;

Connection::Connection(std::uint64_t id, Fd fd, std::string peer, std::unique_ptr<crypto::TlsConnection> tls, Shared& shared)
    : id_(id), peer_(std::move(peer)), shared_(shared), transport_(std::move(fd), std::move(tls), shared), used_(shared.now) {
  set_deadline(shared_.options.handshake_ms_max);
}

void Connection::set_deadline(int ms_max) { deadline_ = shared_.now + std::chrono::milliseconds(ms_max); }

void Connection::on_events(std::uint32_t events) {
  used_ = shared_.now;
  if (events & (EPOLLERR | EPOLLHUP)) return close();
  if ((events & EPOLLRDHUP) && phase_ == Phase::session && !session_->wants_input()) return close();
  if (events & (EPOLLIN | EPOLLRDHUP)) transport_.readable = true;
  if (events & EPOLLOUT) transport_.writable = true;
  run();
}

void Connection::on_tick() {
  transport_.rest();
  if (phase_ != Phase::session) return shared_.now >= deadline_ ? close() : void();
  const auto next = session_->on_tick();
  if (next == Next::again) return run();
  act(next);
}

void Connection::drain() {
  transport_.readable = true;
  run();
  if (phase_ == Phase::handshake) deadline_ = std::min(deadline_, shared_.now + std::chrono::milliseconds(kDrainIdleMs));
  if (phase_ == Phase::session) {
    const auto next = session_->drain();
    next == Next::again ? run() : act(next);
  }
}

std::uint32_t Connection::interest() const {
  std::uint32_t events = 0;
  if (phase_ == Phase::session && !session_->wants_input()) events |= EPOLLRDHUP;
  if (!transport_.readable) events |= EPOLLIN | EPOLLRDHUP;
  if (!transport_.writable) events |= EPOLLOUT;
  return events;
}

// Everything that can be done without waiting, in bounded turns so that no client holds the thread.
void Connection::run() {
  for (int steps = 0; steps < kStepsPerTurn; ++steps) {
    const auto next = step();
    if (next == Next::again) continue;
    if (next == Next::wait) return;
    act(next);
  }
  if (phase_ != Phase::closed) shared_.bell->ring(id_);
}

void Connection::act(Next next) {
  if (next == Next::linger) start_linger();
  if (next == Next::cut) close();
}

Next Connection::step() {
  switch (phase_) {
    case Phase::handshake: return step_handshake();
    case Phase::session: return session_->step();
    case Phase::closed: return Next::wait;
    case Phase::linger: break;
  }
  const auto outcome = transport_.discard();
  return outcome == Outcome::done ? Next::again : outcome == Outcome::wait ? Next::wait : Next::cut;
}

Next Connection::step_handshake() {
  const auto outcome = transport_.handshake();
  if (outcome != Outcome::done) return outcome == Outcome::wait ? Next::wait : Next::cut;
  Peer peer{peer_, client()};
  if (transport_.tls().alpn() == "h2")
    session_ = std::make_unique<Http2Session>(id_, std::move(peer), transport_, shared_);
  else
    session_ = std::make_unique<Http1Session>(id_, std::move(peer), transport_, shared_);
  phase_ = Phase::session;
  return shared_.draining && session_->drain() == Next::cut ? Next::cut : Next::again;
}

std::shared_ptr<const ClientCertificate> Connection::client() const {
  if (shared_.options.client_certificates == crypto::ClientCertificates::none) return nullptr;
  const auto info = transport_.tls().peer_certificate();
  if (!info) return nullptr;
  return std::make_shared<const ClientCertificate>(ClientCertificate{info->common_name, info->dns_names, info->fingerprint.hex()});
}

// Closing a socket while bytes of the client are unread makes the system reset it, and the client may lose our last answer.
// So our side is shut first and what still comes is thrown away for a while.
void Connection::start_linger() {
  transport_.shut();
  is_known_ = session_->is_known();
  session_.reset();
  phase_ = Phase::linger;
  set_deadline(shared_.options.linger_ms_max);
}

void Connection::close() {
  if (phase_ == Phase::closed) return;
  if (phase_ == Phase::session && session_->is_quiet()) transport_.say_goodbye();
  phase_ = Phase::closed;
  session_.reset();
}

}  // namespace redoubt::http::detail
