// SPDX-License-Identifier: Apache-2.0
#include "rows/lines.h"

#include <cstring>

namespace redoubt::rows {
namespace {

constexpr std::size_t kChunkBytes = 1 << 20;

}  // namespace

Result<bool> LineReader::fill() {
  if (ended_) return false;
  held_.erase(0, std::exchange(at_, 0));
  const std::size_t before = held_.size();
  held_.resize(before + kChunkBytes);
  const auto read = source_.read({reinterpret_cast<std::uint8_t*>(held_.data()) + before, kChunkBytes});
  const std::size_t count = read.value_or(0);
  held_.resize(before + count);
  bytes_read_ += count;
  if (!read) return fail(read.error());
  ended_ = count == 0;
  return !ended_;
}

Result<std::string_view> LineReader::peek(std::size_t size) {
  while (held_.size() - at_ < size && TRY(fill())) continue;
  return std::string_view(held_).substr(at_, size);
}

Result<std::optional<Line>> LineReader::next() {
  Line line;
  std::size_t searched = 0;  // bytes after at_ that hold no newline
  while (true) {
    const std::size_t end = held_.find('\n', at_ + searched);
    if (end != held_.npos || ended_) {
      const bool last = end == held_.npos;
      line.text = std::string_view(held_).substr(at_, last ? held_.npos : end - at_);
      at_ = last ? held_.size() : end + 1;
      if (last && line.text.empty() && line.left_out == 0) return std::nullopt;
      line.number = ++number_;
      if (line.left_out > 0 || line.text.size() > line_bytes_max_) {
        line.left_out += line.text.size();
        line.text = {};
      }
      return line;
    }
    searched = held_.size() - at_;
    if (line.left_out > 0 || searched > line_bytes_max_) {
      line.left_out += searched;
      at_ = held_.size();
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
