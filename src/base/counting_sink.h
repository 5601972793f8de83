// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/stream.h"

namespace redoubt {

// Counts the bytes that another sink was given, also those that it did not take: after a failure nobody knows how many it kept.
class CountingSink final : public Sink {
 public:
  explicit CountingSink(Sink& into) : into_(into) {}
  Status write(ByteView bytes) override {
    count_ += bytes.size();
    return into_.write(bytes);
  }
  std::uint64_t count() const { return count_; }

 private:
  Sink& into_;
  std::uint64_t count_ = 0;
};

}  // namespace redoubt
