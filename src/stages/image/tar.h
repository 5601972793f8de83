// SPDX-License-Identifier: Apache-2.0
//
// A layer as a tar stream (POSIX.1-2017 ustar) that depends on nothing but what is in it: sorted names, fixed times, root as
// owner. Files are read as the stream is, so memory stays flat.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/stream.h"

namespace redoubt::stages::image {

struct TarEntry {
  std::string path;            // in the image, without a leading '/'; folders end in '/'
  unsigned mode = 0644;
  std::filesystem::path file;  // where the contents are; empty: `contents`
  std::string contents;
};

class TarSource final : public Source {
 public:
  // Adds the folders that the entries lie in. invalid_argument for a path that is unsafe, stands twice or is too long.
  static Result<std::unique_ptr<TarSource>> create(std::vector<TarEntry> entries);
  Result<std::size_t> read(MutableByteView into) override;

 private:
  explicit TarSource(std::vector<TarEntry> entries) : entries_(std::move(entries)) {}
  Status next_entry();
  std::vector<TarEntry> entries_;
  std::size_t next_ = 0;
  Bytes pending_;                      // header, small contents or padding, not yet handed out
  std::size_t pending_at_ = 0;
  std::unique_ptr<FileReader> file_;   // the rest of the present entry's contents
  std::uint64_t file_left_ = 0, padding_ = 0;
  bool ended_ = false;
};

}  // namespace redoubt::stages::image
