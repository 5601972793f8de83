// SPDX-License-Identifier: Apache-2.0
#include "advisories/archive_entries.h"

#include <archive.h>
#include <archive_entry.h>

#include <memory>

namespace redoubt::advisories {
namespace fs = std::filesystem;
namespace {

struct FreeArchive {
  void operator()(archive* a) const { archive_read_free(a); }
};
using Archive = std::unique_ptr<archive, FreeArchive>;

tl::unexpected<Error> broken_archive(archive* from, const std::string& where) {
  const char* why = archive_error_string(from);
  return fail(ErrorCode::invalid_argument, std::string("can't be unpacked: ") + (why == nullptr ? "unknown" : why), where);
}

Result<std::string> read_entry(archive* from, std::size_t bytes_max, const std::string& where) {
  std::string out;
  char chunk[64 << 10];
  while (true) {
    const la_ssize_t count = archive_read_data(from, chunk, sizeof chunk);
    if (count < 0) return broken_archive(from, where);
    if (count == 0) return out;
    if (out.size() + static_cast<std::size_t>(count) > bytes_max) return fail(ErrorCode::limit_exceeded, "too large", where);
    out.append(chunk, static_cast<std::size_t>(count));
  }
}

}  // namespace

Status for_each_tar_entry(const fs::path& path, std::size_t bytes_max, const std::function<Status(const std::string&, std::string)>& visit) {
  Archive from(archive_read_new());
  archive_read_support_filter_all(from.get());
  archive_read_support_format_tar(from.get());
  if (archive_read_open_filename(from.get(), path.c_str(), 1 << 20) != ARCHIVE_OK) return broken_archive(from.get(), path.string());
  while (true) {
    archive_entry* entry = nullptr;
    const int code = archive_read_next_header(from.get(), &entry);
    if (code == ARCHIVE_EOF) return {};
    if (code != ARCHIVE_OK && code != ARCHIVE_WARN) return broken_archive(from.get(), path.string());
    const char* name = archive_entry_pathname(entry);
    if (archive_entry_filetype(entry) != AE_IFREG || name == nullptr) continue;
    const std::string where = path.string() + ":" + name;
    TRY(visit(where, TRY(read_entry(from.get(), bytes_max, where))));
  }
}

Result<std::string> read_compressed(const fs::path& path, std::size_t bytes_max) {
  Archive from(archive_read_new());
  archive_read_support_filter_all(from.get());
  archive_read_support_format_raw(from.get());
  archive_read_support_format_empty(from.get());
  archive_entry* entry = nullptr;
  if (archive_read_open_filename(from.get(), path.c_str(), 1 << 20) != ARCHIVE_OK) return broken_archive(from.get(), path.string());
  const int code = archive_read_next_header(from.get(), &entry);
  if (code == ARCHIVE_EOF) return std::string();
  if (code != ARCHIVE_OK) return broken_archive(from.get(), path.string());
  return read_entry(from.get(), bytes_max, path.string());
}

}  // namespace redoubt::advisories
