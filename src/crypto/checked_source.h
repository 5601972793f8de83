// SPDX-License-Identifier: Apache-2.0
//
// Hashes the blob of an image that passes, and says tampered at its end when it is not the one that was asked for.
#pragma once

#include <memory>

#include "base/stream.h"
#include "crypto/hash.h"

namespace redoubt::crypto {

class CheckedSource final : public Source {
 public:
  CheckedSource(std::unique_ptr<Source> from, const Digest& expected) : from_(std::move(from)), expected_(expected) {}
  Result<std::size_t> read(MutableByteView into) override {
    const std::size_t count = TRY(from_->read(into));
    hash_.update(ByteView(into).first(count));
    if (count == 0 && !into.empty() && !ended_) {
      ended_ = true;
      if (hash_.finish() != expected_) return fail(ErrorCode::tampered, "an image blob is not what its digest says", expected_.tagged(), "copy the image again from where it was made");
    }
    return count;
  }

 private:
  std::unique_ptr<Source> from_;
  Digest expected_;
  Sha256 hash_;
  bool ended_ = false;
};

}  // namespace redoubt::crypto
