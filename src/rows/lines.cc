// SPDX-License-Identifier: Apache-2.0
#include "rows/lines.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace redoubt::rows {
namespace {

constexpr std::size_t kChunkBytesMax = 1 << 20;

}  // namespace

Result<bool> LineReader::fill() {
  if (ended_) return false;
  std::memmove(buffer_.data(), buffer_.data() + at_, end_ - at_);
  end_ -= std::exchange(at_, 0);
  if (buffer_.size() < end_ + chunk_bytes_) buffer_.resize(end_ + chunk_bytes_);  // else used again as it is: clearing it would cost more than a short source
  const std::size_t count = TRY(source_.read({reinterpret_cast<std::uint8_t*>(buffer_.data()) + end_, chunk_bytes_}));
  chunk_bytes_ = std::min(chunk_bytes_ * 4, kChunkBytesMax);
  end_ += count;
  bytes_read_ += count;
  ended_ = count == 0;
  return !ended_;
}

Result<std::string_view> LineReader::peek(std::size_t size) {
  while (held().size() < size && TRY(fill())) continue;
  return held().substr(0, size);
}

Result<std::optional<Line>> LineReader::next() {
  Line line;
  std::size_t searched = 0;  // bytes of held() without a newline
  while (true) {
    const std::size_t end = held().find('\n', searched);
    if (end != held().npos || ended_) {
      const bool last = end == held().npos;
      line.text = held().substr(0, end);
      at_ += last ? line.text.size() : end + 1;
      if (last && line.text.empty() && line.left_out == 0) return std::nullopt;
      line.number = ++number_;
      if (line.left_out > 0 || line.text.size() > line_bytes_max_) {
        line.left_out += line.text.size();
        line.text = {};
      }
      return line;
    }
    searched = held().size();
    if (line.left_out > 0 || searched > line_bytes_max_) {
      line.left_out += searched;
      at_ = end_;
      searched = 0;
    }
    TRY(fill());
  }
}

std::size_t first_invalid_utf8(std::string_view text) {
  std::size_t at = 0;
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(i < text.size() ? text[i] : 0); };
  while (at < text.size()) {
    std::uint64_t next = 0;
    if (at + sizeof next <= text.size()) std::memcpy(&next, text.data() + at, sizeof next);
    else next = ~0ull;
    if ((next & 0x8080808080808080u) == 0) {  // most of it is ASCII
      at += sizeof next;
      continue;
    }
    const unsigned char lead = byte(at);
    if (lead < 0x80) {
      ++at;
      continue;
    }
    const int more = lead >= 0xc2 && lead <= 0xdf ? 1 : (lead & 0xf0) == 0xe0 ? 2 : lead >= 0xf0 && lead <= 0xf4 ? 3 : 0;
    if (more == 0) return at;
    for (int i = 1; i <= more; ++i) {
      if ((byte(at + static_cast<std::size_t>(i)) & 0xc0) != 0x80) return at;
    }
    const unsigned char second = byte(at + 1);
    const bool overlong = (lead == 0xe0 && second < 0xa0) || (lead == 0xf0 && second < 0x90);
    const bool outside = (lead == 0xed && second > 0x9f) || (lead == 0xf4 && second > 0x8f);
    if (overlong || outside) return at;
    at += static_cast<std::size_t>(more) + 1;
  }
  return text.npos;
}

}  // namespace redoubt::rows
