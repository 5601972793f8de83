// SPDX-License-Identifier: Apache-2.0
#include "base/write_all.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace redoubt {

bool write_all(int fd, ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count == 0) errno = EIO;
    if (count <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
  return true;
}

bool append_all(int fd, ByteView bytes) {
  struct stat before = {};
  if (::fstat(fd, &before) != 0) return false;
  if (write_all(fd, bytes)) return true;
  const int why = errno;
  [[maybe_unused]] const int taken_off = ::ftruncate(fd, before.st_size);
  errno = why;
  return false;
}

}  // namespace redoubt
