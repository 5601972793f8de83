// SPDX-License-Identifier: Apache-2.0
#include "weights/gguf_reader.h"

#include <algorithm>
#include <bit>

static_assert(std::endian::native == std::endian::little, "GGUF holds little-endian numbers, read as they are");

namespace redoubt::weights {
namespace {

constexpr std::size_t kWindowBytes = 256 << 10;

// The number of bytes of a character by its first byte, or 0.
std::size_t length_of(std::uint8_t first) {
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return 2;
  if (first >= 0xE0 && first <= 0xEF) return 3;
  return first >= 0xF0 && first <= 0xF4 ? 4 : 0;
}

bool is_second(std::uint8_t first, std::uint8_t second) {
  const std::uint8_t low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
  const std::uint8_t high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
  return second >= low && second <= high;
}

}  // namespace

bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto first = static_cast<std::uint8_t>(text[i]);
    const std::size_t length = length_of(first);
    if (length == 0 || length > text.size() - i) return false;
    if (length > 1 && !is_second(first, static_cast<std::uint8_t>(text[i + 1]))) return false;
    for (std::size_t k = 2; k < length; ++k)
      if ((static_cast<std::uint8_t>(text[i + k]) & 0xC0) != 0x80) return false;
    i += length;
  }
  return true;
}

std::uint64_t GgufReader::left() const { return std::min(file_.size(), bytes_max_) - offset_; }

Status GgufReader::take(MutableByteView into) {
  if (into.size() > left()) {
    if (offset_ + into.size() <= file_.size())
      return fail(ErrorCode::limit_exceeded, "the header is longer than " + std::to_string(bytes_max_) + " bytes", where_);
    return fail(ErrorCode::invalid_argument, "the file ends inside its header", where_);
  }
  for (std::size_t done = 0; done < into.size();) {
    if (offset_ < window_start_ || offset_ >= window_start_ + window_.size()) {
      window_.resize(std::min<std::uint64_t>(kWindowBytes, file_.size() - offset_));
      window_start_ = offset_;
      TRY(file_.read_at(offset_, window_));
    }
    const std::size_t at = offset_ - window_start_, count = std::min(into.size() - done, window_.size() - at);
    std::copy_n(window_.begin() + static_cast<std::ptrdiff_t>(at), count, into.begin() + static_cast<std::ptrdiff_t>(done));
    done += count;
    offset_ += count;
  }
  return {};
}

Result<std::string> GgufReader::text(std::uint64_t bytes_max) {
  const auto length = TRY(number<std::uint64_t>());
  if (length > bytes_max)
    return fail(ErrorCode::limit_exceeded, "a string is longer than " + std::to_string(bytes_max) + " bytes", where_);
  if (length > left()) return fail(ErrorCode::invalid_argument, "a string reaches beyond the file", where_);
  std::string text(length, '\0');
  TRY(take(MutableByteView(reinterpret_cast<std::uint8_t*>(text.data()), text.size())));
  if (!is_utf8(text)) return fail(ErrorCode::invalid_argument, "a string is not UTF-8", where_);
  return text;
}

}  // namespace redoubt::weights
