// SPDX-License-Identifier: Apache-2.0
//
// Hashes what passes, and says tampered at its end when it is not what the digest names.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "base/stream.h"
#include "crypto/hash.h"

namespace redoubt::crypto {

class CheckedSource final : public Source {
 public:
  // The blob of an image.
  CheckedSource(std::unique_ptr<Source> from, const Digest& expected) : CheckedSource(*from, expected, "an image blob is not what its digest says", "copy the image again from where it was made") { owned_ = std::move(from); }
  // `from` must outlive it.
  CheckedSource(Source& from, const Digest& expected, std::string message, std::string hint = "") : from_(from), expected_(expected), message_(std::move(message)), hint_(std::move(hint)) {}
  Result<std::size_t> read(MutableByteView into) override {
    if (ended_) return std::size_t{0};
    const std::size_t count = TRY(from_.read(into));
    hash_.update(ByteView(into).first(count));
    ended_ = count == 0 && !into.empty();
    if (ended_ && hash_.finish() != expected_) return fail(ErrorCode::tampered, message_, expected_.tagged(), hint_);
    return count;
  }

 private:
  std::unique_ptr<Source> owned_;
  Source& from_;
  Digest expected_;
  std::string message_, hint_;
  Sha256 hash_;
  bool ended_ = false;
};

}  // namespace redoubt::crypto
