// SPDX-License-Identifier: Apache-2.0
//
// A layer as a tar stream (POSIX.1-2017: ustar, with pax records where a name or a number does not fit) that depends on nothing
// but what is in it: sorted names, one time for all, numeric owners. Files are read as the stream is, so memory stays flat.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/stream.h"

namespace redoubt::stages::image::oci {

struct TarEntry {
  std::string path;            // in the image, without a leading '/'; folders end in '/'
  unsigned mode = 0644;
  std::filesystem::path file;  // where the contents are; empty: `contents`
  std::string contents = {};
  unsigned uid = 0, gid = 0;
  std::string link = {};       // where a symbolic link leads; empty: no link
};

enum class Parents {
  add,       // folders that entries lie in are added, as root's, 0755
  as_given,  // an image below has them: only what is named is written
};

class TarSource final : public Source {
 public:
  // invalid_argument for a path that is unsafe, stands twice or is too long. `seconds`: the time of every entry.
  static Result<std::unique_ptr<TarSource>> create(std::vector<TarEntry> entries, Parents parents = Parents::add, std::uint64_t seconds = 0);
  Result<std::size_t> read(MutableByteView into) override;

 private:
  TarSource(std::vector<TarEntry> entries, std::uint64_t seconds) : entries_(std::move(entries)), seconds_(seconds) {}
  Status next_entry();
  std::vector<TarEntry> entries_;
  std::uint64_t seconds_;
  std::size_t next_ = 0;
  Bytes pending_;                      // header, small contents or padding, not yet handed out
  std::size_t pending_at_ = 0;
  std::unique_ptr<FileReader> file_;   // the rest of the present entry's contents
  std::uint64_t file_left_ = 0, padding_ = 0;
  bool ended_ = false;
};

}  // namespace redoubt::stages::image::oci
