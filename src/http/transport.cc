// SPDX-License-Identifier: Apache-2.0
#include "http/transport.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace redoubt::http::detail {
namespace {

using crypto::TlsOutcome;

constexpr std::size_t kReadBytes = 16 << 10;      // what a TLS record holds at most
constexpr std::size_t kDiscardBytes = 256 << 10;  // in a step
constexpr std::size_t kOutKeptBytes = 16 << 10;   // of an idle connection's buffer

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

void append_text(std::string& out, std::string_view text) {
  const auto begin = out.size();
  out += text;
  std::replace_if(out.begin() + static_cast<std::ptrdiff_t>(begin), out.end(), is_control, '_');
}

}  // namespace

void append_header(std::string& out, std::string_view name, std::string_view value) {
  append_text(out, name);
  out += ": ";
  append_text(out, value);
  out += "\r\n";
}

std::string without_controls(std::string_view text) {
  std::string out;
  append_text(out, text);
  return out;
}

void Shared::name_fields() {
  for (const auto& [name, value] : options.headers) {
    head_fields.push_back({without_controls(name), without_controls(value)});
    std::transform(head_fields.back().name.begin(), head_fields.back().name.end(), head_fields.back().name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  }
}

void Shared::set_date(std::string text) {
  if (text == date) return;
  date = std::move(text);
  head_lines.clear();
  append_header(head_lines, "Date", date);
  for (const auto& [name, value] : options.headers) append_header(head_lines, name, value);
}

void SendWatch::note(std::uint64_t sent_total, std::size_t waiting, SteadyTime now, int ms_max) {
  if (waiting == 0) {
    deadline_ = SteadyTime::max();
    return;
  }
  if (deadline_ != SteadyTime::max() && sent_total < marker_) return;
  marker_ = sent_total + waiting;
  deadline_ = now + std::chrono::milliseconds(ms_max);
}

Transport::Transport(Fd fd, std::unique_ptr<crypto::TlsConnection> tls, Shared& shared)
    : fd_(std::move(fd)), tls_(std::move(tls)), shared_(shared) {}

void Transport::rest() {
  if (!std::exchange(used_, false) && !rests_) let_go();
}

void Transport::let_go() {
  rests_ = true;
  tls_->release_buffers();
}

Transport::Outcome Transport::handshake() {
  used_ = true;
  rests_ = false;
  switch (tls_->handshake()) {
    case TlsOutcome::done: readable = tls_->holds_input(); return Outcome::done;
    case TlsOutcome::want_read: readable = false; return Outcome::wait;
    case TlsOutcome::want_write: writable = false; return Outcome::wait;
    default: broken_ = true; return Outcome::broken;
  }
}

Transport::Outcome Transport::read(std::string_view& bytes) {
  if (!readable) return Outcome::wait;
  used_ = true;
  rests_ = false;
  shared_.scratch.resize(kReadBytes);
  const auto io = tls_->read(shared_.scratch);
  switch (io.outcome) {
    case TlsOutcome::done:
      bytes = {reinterpret_cast<const char*>(shared_.scratch.data()), io.bytes};
      // What the socket still has, epoll reports; asking it now would mostly be in vain.
      readable = tls_->holds_input();
      return Outcome::done;
    case TlsOutcome::want_read: readable = false; return Outcome::wait;
    case TlsOutcome::want_write: writable = false; return Outcome::wait;
    default: broken_ = true; return Outcome::broken;
  }
}

Transport::Outcome Transport::flush() {
  if (out_.empty()) return Outcome::done;
  if (writable) {
    used_ = true;
    rests_ = false;
    const auto io = tls_->write(view_of(std::string_view(out_).substr(out_sent_)));
    if (io.outcome == TlsOutcome::want_write) {
      writable = false;
    } else if (io.outcome != TlsOutcome::done) {
      broken_ = true;
      return Outcome::broken;
    }
    out_sent_ += io.bytes;
    sent_total_ += io.bytes;
  }
  watch_.note(sent_total_, waiting(), shared_.now, shared_.options.send_ms_max);
  if (waiting() == 0) {
    out_.clear();
    out_sent_ = 0;
    if (out_.capacity() > kOutKeptBytes) out_.shrink_to_fit();
  } else if (out_sent_ >= kOutLow) {
    out_.erase(0, out_sent_);
    out_sent_ = 0;
  }
  return writable ? Outcome::done : Outcome::wait;
}

void Transport::say_goodbye() {
  if (!broken_) tls_->shutdown();
}

void Transport::shut() {
  say_goodbye();
  ::shutdown(fd_.get(), SHUT_WR);
  readable = writable = true;
}

Transport::Outcome Transport::discard() {
  if (!readable) return Outcome::wait;
  // TCP's MSG_TRUNC throws bytes away without copying them.
  const auto count = ::recv(fd_.get(), nullptr, kDiscardBytes, MSG_DONTWAIT | MSG_TRUNC);
  if (count > 0) return Outcome::done;
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
    readable = false;
    return Outcome::wait;
  }
  broken_ = true;
  return Outcome::broken;
}

}  // namespace redoubt::http::detail
