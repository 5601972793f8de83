// SPDX-License-Identifier: Apache-2.0
//
// Bytes of a file one after the other through a window, so that the memory stays small and no call a byte is made.
#pragma once

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>

#include "base/stream.h"

namespace redoubt::model_scan {

inline bool starts_with(ByteView bytes, std::string_view magic) { return text_of(bytes).starts_with(magic); }

// The part of a file from `begin` as a file of its own. `object` must live longer.
class Part final : public RandomAccess {
 public:
  Part(const RandomAccess& object, std::uint64_t begin, std::uint64_t bytes) : object_(object), begin_(begin), bytes_(bytes) {}
  std::uint64_t size() const override { return bytes_; }
  Status read_at(std::uint64_t offset, MutableByteView into) const override {
    if (offset > bytes_ || into.size() > bytes_ - offset) return fail(ErrorCode::invalid_argument, "a read beyond the end");
    return object_.read_at(begin_ + offset, into);
  }

 private:
  const RandomAccess& object_;
  std::uint64_t begin_, bytes_;
};

class ByteReader {
 public:
  // How many bytes can be asked for at once, and how many before the current one stay at hand.
  static constexpr std::size_t kAheadMax = 64 << 10, kBehind = 64 << 10;

  ByteReader(const RandomAccess& object, std::uint64_t begin, std::uint64_t end) : object_(object), start_(begin), end_(end) {}
  explicit ByteReader(const RandomAccess& object) : ByteReader(object, 0, object.size()) {}

  std::uint64_t offset() const { return start_ + at_; }
  std::uint64_t left() const { return end_ - offset(); }
  // The next `count` bytes (at most kAheadMax); null where there are not so many, or where reading failed.
  const std::uint8_t* peek(std::size_t count) {
    if (filled_ - at_ < count && !fill(count)) return nullptr;
    return window_.data() + at_;
  }
  // Goes on by what `peek` has shown.
  void advance(std::size_t count) { at_ += count; }
  // False, and nothing skipped, where there are not so many.
  bool skip(std::uint64_t count) {
    if (count > left()) return false;
    if (count <= filled_ - at_) {
      at_ += static_cast<std::size_t>(count);
    } else {
      start_ = offset() + count;
      at_ = filled_ = 0;
    }
    return true;
  }
  // Bytes that were read a moment ago or will be next; fewer or none where they are not at hand.
  std::string_view at_hand(std::uint64_t offset, std::size_t count) const {
    if (offset < start_ || offset >= start_ + filled_) return {};
    const auto from = static_cast<std::size_t>(offset - start_);
    return {reinterpret_cast<const char*>(window_.data()) + from, std::min(count, filled_ - from)};
  }
  // Up to and past the next "\n", which is not in it; nothing without one in kAheadMax bytes.
  std::optional<std::string_view> line() {
    for (std::size_t wanted = 256;; wanted = std::min(wanted * 4, kAheadMax)) {
      const std::size_t count = static_cast<std::size_t>(std::min<std::uint64_t>(wanted, left()));
      const auto* bytes = count == 0 ? nullptr : peek(count);
      if (bytes == nullptr) return std::nullopt;
      if (const auto* found = static_cast<const std::uint8_t*>(std::memchr(bytes, '\n', count))) {
        const std::string_view text(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(found - bytes));
        advance(text.size() + 1);
        return text;
      }
      if (count < wanted || wanted == kAheadMax) return std::nullopt;
    }
  }
  // The failure of the last read, if one failed.
  const std::optional<Error>& error() const { return error_; }
  const RandomAccess& object() const { return object_; }

 private:
  static constexpr std::size_t kWindow = 256 << 10;

  bool fill(std::size_t count) {
    if (error_ || count > left()) return false;
    if (window_.empty()) window_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kWindow, std::max<std::uint64_t>(left(), 1))));
    if (window_.size() < kWindow && count > window_.size()) window_.resize(kWindow);
    const std::size_t kept = std::min(at_, kBehind);
    if (filled_ > at_ - kept) std::memmove(window_.data(), window_.data() + (at_ - kept), filled_ - (at_ - kept));
    start_ += at_ - kept;
    filled_ -= at_ - kept;
    at_ = kept;
    const auto more = static_cast<std::size_t>(std::min<std::uint64_t>(window_.size() - filled_, end_ - start_ - filled_));
    if (auto read = object_.read_at(start_ + filled_, MutableByteView(window_).subspan(filled_, more)); !read) {
      error_ = read.error();
      return false;
    }
    filled_ += more;
    return filled_ - at_ >= count;
  }

  const RandomAccess& object_;
  Bytes window_;
  std::uint64_t start_, end_;       // of the window, in the file; of what is read
  std::size_t at_ = 0, filled_ = 0;  // in the window
  std::optional<Error> error_;
};

}  // namespace redoubt::model_scan
