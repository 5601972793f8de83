// SPDX-License-Identifier: Apache-2.0
//
// Random access over bytes in memory.
#pragma once

#include <algorithm>

#include "base/stream.h"

namespace redoubt {

class MemoryObject final : public RandomAccess {
 public:
  explicit MemoryObject(Bytes bytes) : bytes_(std::move(bytes)) {}
  std::uint64_t size() const override { return bytes_.size(); }
  Status read_at(std::uint64_t offset, MutableByteView into) const override {
    if (offset > bytes_.size() || into.size() > bytes_.size() - offset) return fail(ErrorCode::invalid_argument, "a read beyond the end");
    std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(offset), into.size(), into.begin());
    return {};
  }
  const Bytes& bytes() const { return bytes_; }

 private:
  Bytes bytes_;
};

}  // namespace redoubt
