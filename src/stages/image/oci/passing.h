// SPDX-License-Identifier: Apache-2.0
//
// Sources that look at what passes through them.
#pragma once

#include "base/progress.h"
#include "crypto/hash.h"

namespace redoubt::stages::image::oci {

// Counts what passes, for a descriptor and for the person.
class CountedSource final : public Source {
 public:
  CountedSource(Source& from, Progress& progress) : from_(from), progress_(progress) {}
  Result<std::size_t> read(MutableByteView into) override {
    const std::size_t count = TRY(from_.read(into));
    bytes += count;
    progress_.update(bytes);
    return count;
  }
  std::uint64_t bytes = 0;

 private:
  Source& from_;
  Progress& progress_;
};

class HashedSource final : public Source {
 public:
  explicit HashedSource(Source& from) : from_(from) {}
  Result<std::size_t> read(MutableByteView into) override {
    const std::size_t count = TRY(from_.read(into));
    hash_.update(ByteView(into).first(count));
    bytes += count;
    return count;
  }
  Digest finish() { return hash_.finish(); }
  std::uint64_t bytes = 0;

 private:
  Source& from_;
  crypto::Sha256 hash_;
};

// Reads to the end: what checks itself there has then done so.
inline Status drain(Source& from) {
  Bytes chunk(256 << 10);
  while (TRY(from.read(chunk)) > 0) {
  }
  return {};
}

}  // namespace redoubt::stages::image::oci
