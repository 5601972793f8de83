// SPDX-License-Identifier: Apache-2.0
#include "vault/spool.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>

#include "base/write_all.h"

namespace redoubt::vault {

Result<std::unique_ptr<SpoolFile>> SpoolFile::create(const std::filesystem::path& folder) {
  // Named for an instant only: not every file system knows O_TMPFILE. What it holds is sealed.
  std::string name = (folder / ".spool-XXXXXX").string();
  Fd fd(::mkostemp(name.data(), O_CLOEXEC));
  if (!fd) return fail_errno(errno, "make a temporary file", folder.string());
  if (::unlink(name.c_str()) != 0) return fail_errno(errno, "unlink a temporary file", name);
  return std::unique_ptr<SpoolFile>(new SpoolFile(std::move(fd), folder.string()));
}

Status SpoolFile::write(ByteView bytes) {
  if (!write_all(fd_.get(), bytes)) return fail_errno(errno, "write a temporary file", folder_);
  size_ += bytes.size();
  return {};
}

Status SpoolFile::read_at(std::uint64_t offset, MutableByteView into) const {
  if (offset > size_ || into.size() > size_ - offset) {
    return fail(ErrorCode::invalid_argument, "read beyond the end of a temporary file", folder_);
  }
  while (!into.empty()) {
    const ssize_t count = ::pread(fd_.get(), into.data(), into.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno(errno, "read a temporary file", folder_);
    if (count == 0) return fail(ErrorCode::tampered, "a temporary file became shorter", folder_);
    into = into.subspan(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
  return {};
}

}  // namespace redoubt::vault
