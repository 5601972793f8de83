// SPDX-License-Identifier: Apache-2.0
//
// Hashes what passes, and says tampered at the end when it is not the digest that was asked for.
#pragma once

#include <memory>

#include "base/stream.h"
#include "crypto/hash.h"

namespace redoubt::provider::local {

class CheckedSource final : public Source {
 public:
  CheckedSource(std::unique_ptr<Source> from, Digest expected) : from_(std::move(from)), expected_(expected) {}
  Result<std::size_t> read(MutableByteView into) override {
    const std::size_t count = TRY(from_->read(into));
    hash_.update(ByteView(into).first(count));
    if (count == 0 && !into.empty() && !ended_) {
      ended_ = true;
      if (hash_.finish() != expected_) return fail(ErrorCode::tampered, "an image blob is not what its digest says", expected_.tagged());
    }
    return count;
  }

 private:
  std::unique_ptr<Source> from_;
  Digest expected_;
  crypto::Sha256 hash_;
  bool ended_ = false;
};

}  // namespace redoubt::provider::local
