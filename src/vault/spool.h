// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/file.h"

namespace redoubt::vault {

// A temporary file without a name: written once, then read, and gone with the process whatever ends it.
class SpoolFile final : public Sink, public RandomAccess {
 public:
  static Result<std::unique_ptr<SpoolFile>> create(const std::filesystem::path& folder);
  Status write(ByteView bytes) override;
  std::uint64_t size() const override { return size_; }
  Status read_at(std::uint64_t offset, MutableByteView into) const override;

 private:
  SpoolFile(Fd fd, std::string folder) : fd_(std::move(fd)), folder_(std::move(folder)) {}
  Fd fd_;
  std::string folder_;
  std::uint64_t size_ = 0;
};

}  // namespace redoubt::vault
