// SPDX-License-Identifier: Apache-2.0
#include "engine/distributed/exchange.h"

#include <poll.h>

#include <algorithm>
#include <cstring>

namespace redoubt::engine::distributed {
namespace {

using crypto::TlsOutcome;

constexpr std::array<std::uint8_t, 4> kMagic = {'R', 'D', 'X', '1'};
constexpr std::size_t kPieceBytes = 1 << 20;

void put(std::uint8_t* to, std::uint64_t value) {
  for (int i = 0; i < 8; ++i) to[i] = static_cast<std::uint8_t>(value >> (8 * i));
}

std::uint64_t get(const std::uint8_t* from) {
  std::uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value |= static_cast<std::uint64_t>(from[i]) << (8 * i);
  return value;
}

}  // namespace

std::array<std::uint8_t, kHeaderBytes> write_header(const FrameHeader& header) {
  std::array<std::uint8_t, kHeaderBytes> bytes{};
  std::copy(kMagic.begin(), kMagic.end(), bytes.begin());
  bytes[4] = static_cast<std::uint8_t>(header.kind);
  put(bytes.data() + 8, header.sequence);
  put(bytes.data() + 16, header.bytes);
  return bytes;
}

Result<FrameHeader> read_header(const std::array<std::uint8_t, kHeaderBytes>& bytes) {
  const bool known = bytes[4] == static_cast<std::uint8_t>(FrameKind::data) || bytes[4] == static_cast<std::uint8_t>(FrameKind::farewell);
  if (!std::equal(kMagic.begin(), kMagic.end(), bytes.begin()) || !known || bytes[5] != 0 || bytes[6] != 0 || bytes[7] != 0)
    return fail(ErrorCode::invalid_argument, "sent what is no frame of this protocol");
  return FrameHeader{static_cast<FrameKind>(bytes[4]), get(bytes.data() + 8), get(bytes.data() + 16)};
}

Transfer::Transfer(Link& link, std::uint64_t sequence, ByteView out, MutableByteView in)
    : link_(link), sequence_(sequence), header_out_(write_header({FrameKind::data, sequence, out.size()})), out_(out), in_(in) {}

Status Transfer::advance() {
  events_ = 0;
  TRY(receive_some());
  return send_some();
}

// What a call that moved nothing means.
Status Transfer::stop(TlsOutcome outcome) {
  if (outcome == TlsOutcome::want_read) events_ |= POLLIN;
  if (outcome == TlsOutcome::want_write) events_ |= POLLOUT;
  if (outcome == TlsOutcome::closed || outcome == TlsOutcome::failed) return fail(ErrorCode::unavailable, "ended");
  return {};
}

ByteView Transfer::unsent() const {
  return sent_ < header_out_.size() ? ByteView(header_out_).subspan(sent_) : out_.subspan(sent_ - header_out_.size());
}

Status Transfer::send_some() {
  while (sent_ < header_out_.size() + out_.size()) {
    const ByteView rest = unsent();
    const auto io = link_.write(rest.first(std::min(rest.size(), kPieceBytes)));
    if (io.outcome != TlsOutcome::done) return stop(io.outcome);
    sent_ += io.bytes;
    last_progress_ = std::chrono::steady_clock::now();
  }
  return {};
}

Status Transfer::take_header() {
  const auto header = TRY(read_header(header_in_));
  header_read_ = true;
  if (header.kind == FrameKind::farewell) {
    if (header.bytes > kReasonBytesMax) return fail(ErrorCode::invalid_argument, "sent what is no frame of this protocol");
    reason_.resize(header.bytes);
    in_ = {reinterpret_cast<std::uint8_t*>(reason_.data()), reason_.size()};
    is_farewell_ = true;
    return {};
  }
  if (header.sequence != sequence_ || header.bytes != in_.size())
    return fail(ErrorCode::internal, "is at another place of the job than this rank");
  return {};
}

Status Transfer::receive_some() {
  while (!is_received()) {
    const MutableByteView into =
        header_read_ ? in_.subspan(received_) : MutableByteView(header_in_).subspan(header_received_);
    const auto io = link_.read(into.first(std::min(into.size(), kPieceBytes)));
    if (io.outcome != TlsOutcome::done) return stop(io.outcome);
    last_progress_ = std::chrono::steady_clock::now();
    (header_read_ ? received_ : header_received_) += io.bytes;
    if (!header_read_ && header_received_ == kHeaderBytes) TRY(take_header());
  }
  if (is_farewell_) return fail(ErrorCode::unavailable, reason_);
  return {};
}

void Transfer::finish_sending(Deadline deadline) {
  while (!is_between_frames()) {
    const ByteView rest = unsent();
    if (!link_.send(rest, deadline)) return;
    sent_ += rest.size();
  }
}

std::optional<std::string> Transfer::last_words() {
  // What came before the end is still to be read: the rest of its frame, and after that the farewell.
  if (!is_farewell_ && !receive_some()) return is_farewell_ && is_received() ? std::optional(reason_) : std::nullopt;
  if (!is_farewell_ && is_received()) {
    header_read_ = false;
    header_received_ = received_ = 0;
    if (receive_some()) return std::nullopt;
  }
  return is_farewell_ && is_received() ? std::optional(reason_) : std::nullopt;
}

}  // namespace redoubt::engine::distributed
