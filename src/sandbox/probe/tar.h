// SPDX-License-Identifier: Apache-2.0
//
// For tests: image layers made in memory by libarchive, so that the reader is judged against somebody else's writer.
#pragma once

#include <archive.h>
#include <archive_entry.h>

#include <string>
#include <vector>

#include "base/bytes.h"

namespace redoubt::sandbox::probe_image {

struct Entry {
  std::string path;
  std::string contents;
  mode_t type = AE_IFREG;
  int mode = 0755;
  std::string link = {};
};

inline Bytes make_tar(const std::vector<Entry>& entries) {
  std::vector<char> buffer(32 << 20);
  std::size_t used = 0;
  archive* tar = archive_write_new();
  archive_write_set_format_pax_restricted(tar);
  archive_write_open_memory(tar, buffer.data(), buffer.size(), &used);
  for (const Entry& entry : entries) {
    archive_entry* header = archive_entry_new();
    archive_entry_set_pathname(header, entry.path.c_str());
    archive_entry_set_filetype(header, entry.type);
    archive_entry_set_perm(header, static_cast<mode_t>(entry.mode));
    archive_entry_set_size(header, static_cast<la_int64_t>(entry.contents.size()));
    if (entry.type == AE_IFLNK) archive_entry_set_symlink(header, entry.link.c_str());
    if (entry.type == AE_IFREG && !entry.link.empty()) archive_entry_set_hardlink(header, entry.link.c_str());
    archive_write_header(tar, header);
    archive_write_data(tar, entry.contents.data(), entry.contents.size());
    archive_entry_free(header);
  }
  archive_write_close(tar);
  archive_write_free(tar);
  return {buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(used)};
}

}  // namespace redoubt::sandbox::probe_image
