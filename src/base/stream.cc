// SPDX-License-Identifier: Apache-2.0
#include "base/stream.h"

#include <algorithm>

namespace redoubt {
namespace {
constexpr std::size_t kChunkBytes = 1 << 20;
}

Result<std::size_t> MemorySource::read(MutableByteView into) {
  const std::size_t count = std::min(into.size(), rest_.size());
  std::copy_n(rest_.begin(), count, into.begin());
  rest_ = rest_.subspan(count);
  return count;
}

Status MemorySink::write(ByteView bytes) {
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  return {};
}

Result<std::size_t> RandomAccessSource::read(MutableByteView into) {
  const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), object_.size() - offset_));
  if (count > 0) TRY(object_.read_at(offset_, into.first(count)));
  offset_ += count;
  return count;
}

Result<std::uint64_t> copy(Source& from, Sink& to) {
  Bytes chunk(kChunkBytes);
  std::uint64_t total = 0;
  while (true) {
    const std::size_t count = TRY(from.read(chunk));
    if (count == 0) return total;
    TRY(to.write(ByteView(chunk).first(count)));
    total += count;
  }
}

Result<Bytes> read_all(Source& from, std::uint64_t bytes_max) {
  Bytes out, chunk(64 << 10);
  while (true) {
    const std::size_t count = TRY(from.read(chunk));
    if (count == 0) return out;
    if (out.size() + count > bytes_max) {
      return fail(ErrorCode::limit_exceeded, "more than " + std::to_string(bytes_max) + " bytes");
    }
    out.insert(out.end(), chunk.begin(), chunk.begin() + static_cast<std::ptrdiff_t>(count));
  }
}

}  // namespace redoubt
