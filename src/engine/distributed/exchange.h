// SPDX-License-Identifier: Apache-2.0
//
// One frame out and one frame in over one link, a step at a time, so that a rank serves all its links at once.
#pragma once

#include <array>
#include <optional>

#include "engine/distributed/link.h"

namespace redoubt::engine::distributed {

constexpr std::size_t kHeaderBytes = 24;
constexpr std::size_t kReasonBytesMax = 2048;

enum class FrameKind : std::uint8_t { data = 1, farewell = 2 };

struct FrameHeader {
  FrameKind kind = FrameKind::data;
  std::uint64_t sequence = 0;  // how many frames went before
  std::uint64_t bytes = 0;     // of the body
};
std::array<std::uint8_t, kHeaderBytes> write_header(const FrameHeader& header);
// invalid_argument for what is no header.
Result<FrameHeader> read_header(const std::array<std::uint8_t, kHeaderBytes>& bytes);

class Transfer {
 public:
  // Sends `out` as frame `sequence` and waits for the other end's frame of that number, which has to fill `in`.
  Transfer(Link& link, std::uint64_t sequence, ByteView out, MutableByteView in);

  // Does what can be done at once.
  Status advance();
  // After an error here or on another link: sends what is left of a frame, so that the link can take another one.
  void finish_sending(Deadline deadline);
  // After an error: why the other end gave up, where it said so before it went.
  std::optional<std::string> last_words();
  bool is_done() const { return sent_ == header_out_.size() + out_.size() && is_received(); }
  // Between frames: the link takes another one.
  bool is_between_frames() const { return sent_ == 0 || sent_ == header_out_.size() + out_.size(); }
  short poll_events() const { return events_; }
  Deadline last_progress() const { return last_progress_; }

 private:
  bool is_received() const { return header_read_ && received_ == in_.size(); }
  Status send_some();
  Status receive_some();
  ByteView unsent() const;
  Status take_header();
  Status stop(crypto::TlsOutcome outcome);

  Link& link_;
  std::uint64_t sequence_;
  std::array<std::uint8_t, kHeaderBytes> header_out_, header_in_{};
  ByteView out_;
  MutableByteView in_;
  std::size_t sent_ = 0, header_received_ = 0, received_ = 0;
  bool header_read_ = false;
  bool is_farewell_ = false;
  std::string reason_;  // the body of a farewell
  short events_ = 0;
  Deadline last_progress_ = std::chrono::steady_clock::now();
};

}  // namespace redoubt::engine::distributed
