// SPDX-License-Identifier: Apache-2.0
//
// Lines out of a stream, one at a time: memory holds one line and one chunk, however long the stream is.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/stream.h"

namespace redoubt::rows {

struct Line {
  std::string_view text;      // without its newline; good until the next call
  std::uint64_t number = 0;   // from 1
  std::uint64_t left_out = 0; // bytes of a line that is longer than the limit; its text is empty then
};

class LineReader {
 public:
  // The source must outlive it.
  LineReader(Source& source, std::uint64_t line_bytes_max) : source_(source), line_bytes_max_(line_bytes_max) {}

  // Nothing at the end. A last line without a newline is a line, unless it is empty.
  Result<std::optional<Line>> next();
  // The first bytes of what `next` will read, at most `size` of them.
  Result<std::string_view> peek(std::size_t size);
  std::uint64_t bytes_read() const { return bytes_read_; }

 private:
  Result<bool> fill();
  std::string_view held() const { return std::string_view(buffer_).substr(at_, end_ - at_); }

  Source& source_;
  std::uint64_t line_bytes_max_;
  std::string buffer_;    // from at_ to end_ it holds what was read and not handed out yet
  std::size_t at_ = 0, end_ = 0;
  std::size_t chunk_bytes_ = 16 << 10;  // as much is asked for at once; more with each read, since most sources are short
  bool ended_ = false;
  std::uint64_t number_ = 0, bytes_read_ = 0;
};

// The byte where a text stops being UTF-8 (RFC 3629: no overlong forms, no surrogates), or npos.
std::size_t first_invalid_utf8(std::string_view text);

// What some editors put before a text; RFC 8259 has no place for it.
inline constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

inline bool is_blank(std::string_view text) { return text.find_first_not_of(" \t\r") == text.npos; }

}  // namespace redoubt::rows
