// SPDX-License-Identifier: Apache-2.0
//
// A new file for much that is written once and not read soon: it goes past the system's cache of files where the file system can do that,
// which spares the processor a copy and the pages, and leaves the cache to others. Nothing is durable before an fsync.
#pragma once

#include <filesystem>
#include <memory>

#include "base/file.h"

namespace redoubt {

class DirectFile final : public Sink {
 public:
  // Mode 0600; what was there is cut to nothing, a symbolic link is not followed.
  static Result<std::unique_ptr<DirectFile>> create(const std::filesystem::path& path);
  ~DirectFile() override;  // hands over what it still holds; nobody hears if it can't
  DirectFile(const DirectFile&) = delete;
  DirectFile& operator=(const DirectFile&) = delete;

  // When it fails, the file ends where the last piece of half a MiB ended that went in whole.
  Status write(ByteView bytes) override;
  // All is the system's from here on; more may follow.
  Status flush();

 private:
  struct FreeMemory {
    void operator()(std::uint8_t* memory) const;
  };
  DirectFile(Fd fd, std::string path);
  Status hand_over();
  void set_direct(bool direct);

  Fd fd_;
  std::string path_;
  std::unique_ptr<std::uint8_t, FreeMemory> memory_;
  std::size_t held_ = 0;
  bool is_direct_ = false;
  int failed_ = 0;  // the error that ended it: from then on nothing more is taken
  std::uint64_t begun_ = 0, written_ = 0;  // bytes that the disk was told to begin with, and that were handed over
};

}  // namespace redoubt
