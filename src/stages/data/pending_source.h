// SPDX-License-Identifier: Apache-2.0
//
// A source of texts that are made one lot after the other.
#pragma once

#include <algorithm>
#include <string>

#include "base/stream.h"

namespace redoubt::stages::data {

class PendingSource : public Source {
 public:
  Result<std::size_t> read(MutableByteView into) final {
    while (at_ == pending_.size() && !ended_) {
      pending_.clear();
      at_ = 0;
      TRY(fill());
    }
    const std::size_t count = std::min(into.size(), pending_.size() - at_);
    std::copy_n(pending_.begin() + static_cast<std::ptrdiff_t>(at_), count, into.begin());
    at_ += count;
    return count;
  }

 protected:
  // Adds to `pending_`, which is empty then, perhaps nothing; sets `ended_` where nothing will come any more.
  virtual Status fill() = 0;
  std::string pending_;
  bool ended_ = false;

 private:
  std::size_t at_ = 0;
};

}  // namespace redoubt::stages::data
