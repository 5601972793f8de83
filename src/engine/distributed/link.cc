// SPDX-License-Identifier: Apache-2.0
#include "engine/distributed/link.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>

namespace redoubt::engine::distributed {

using crypto::TlsIo;
using crypto::TlsOutcome;

Status set_non_blocking(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 || ::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
    return fail_errno(errno, "setting up a socket", "rank link");
  return {};
}

int milliseconds_to(Deadline deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, INT_MAX));
}

TlsIo Link::read(MutableByteView into) {
  if (tls_) return tls_->read(into);
  const ssize_t bytes = ::recv(socket_.get(), into.data(), into.size(), 0);
  if (bytes > 0) return {TlsOutcome::done, static_cast<std::size_t>(bytes)};
  if (bytes == 0) return {TlsOutcome::closed, 0};
  return {errno == EAGAIN || errno == EINTR ? TlsOutcome::want_read : TlsOutcome::failed, 0};
}

TlsIo Link::write(ByteView bytes) {
  if (tls_) return tls_->write(bytes);
  const ssize_t written = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (written >= 0) return {TlsOutcome::done, static_cast<std::size_t>(written)};
  return {errno == EAGAIN || errno == EINTR ? TlsOutcome::want_write : TlsOutcome::failed, 0};
}

Status Link::wait(TlsOutcome outcome, Deadline deadline) const {
  if (outcome == TlsOutcome::closed) return fail(ErrorCode::unavailable, "the other end closed the connection");
  if (outcome == TlsOutcome::failed)
    return fail(ErrorCode::unavailable, tls_ ? tls_->failure() : std::string("the connection broke"));
  pollfd waiting{socket_.get(), static_cast<short>(outcome == TlsOutcome::want_write ? POLLOUT : POLLIN), 0};
  if (::poll(&waiting, 1, milliseconds_to(deadline)) == 0)
    return fail(ErrorCode::unavailable, "the other end did not answer in time");
  return {};
}

Status Link::handshake(Deadline deadline) {
  if (!tls_) return {};
  for (auto outcome = tls_->handshake(); outcome != TlsOutcome::done; outcome = tls_->handshake()) TRY(wait(outcome, deadline));
  return {};
}

Status Link::send(ByteView bytes, Deadline deadline) {
  while (!bytes.empty()) {
    const auto io = write(bytes);
    if (io.outcome != TlsOutcome::done) TRY(wait(io.outcome, deadline));
    bytes = bytes.subspan(io.bytes);
  }
  return {};
}

void Link::close_sending() { (void)::shutdown(socket_.get(), SHUT_WR); }

void Link::drain(Deadline deadline) {
  std::array<std::uint8_t, 65536> dropped;
  while (true) {
    const ssize_t bytes = ::recv(socket_.get(), dropped.data(), dropped.size(), 0);
    if (bytes > 0) continue;
    if (bytes == 0 || (errno != EAGAIN && errno != EINTR)) return;
    pollfd waiting{socket_.get(), POLLIN, 0};
    if (::poll(&waiting, 1, milliseconds_to(deadline)) == 0) return;
  }
}

Status Link::receive(MutableByteView into, Deadline deadline) {
  while (!into.empty()) {
    const auto io = read(into);
    if (io.outcome != TlsOutcome::done) TRY(wait(io.outcome, deadline));
    into = into.subspan(io.bytes);
  }
  return {};
}

Status Link::send_text(std::string_view text, Deadline deadline) {
  const auto size = static_cast<std::uint32_t>(text.size());
  const std::array<std::uint8_t, 4> length = {
      static_cast<std::uint8_t>(size), static_cast<std::uint8_t>(size >> 8), static_cast<std::uint8_t>(size >> 16),
      static_cast<std::uint8_t>(size >> 24)};
  TRY(send(length, deadline));
  return send(view_of(text), deadline);
}

Result<std::string> Link::receive_text(std::size_t bytes_max, Deadline deadline) {
  std::array<std::uint8_t, 4> length{};
  TRY(receive(length, deadline));
  std::size_t size = 0;
  for (std::size_t i = 0; i < length.size(); ++i) size |= static_cast<std::size_t>(length[i]) << (8 * i);
  if (size > bytes_max) return fail(ErrorCode::limit_exceeded, "a greeting is too long");
  std::string text(size, '\0');
  TRY(receive({reinterpret_cast<std::uint8_t*>(text.data()), size}, deadline));
  return text;
}

}  // namespace redoubt::engine::distributed
