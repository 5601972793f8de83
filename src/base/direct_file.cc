// SPDX-License-Identifier: Apache-2.0
#include "base/direct_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>

namespace redoubt {
namespace {

constexpr std::size_t kAlignment = 4096;  // of memory, place and length, for every disk in use
constexpr std::size_t kMemoryBytes = 512 << 10;
constexpr std::uint64_t kWriteBackBytes = 8 << 20;

}  // namespace

void DirectFile::FreeMemory::operator()(std::uint8_t* memory) const { std::free(memory); }

Result<std::unique_ptr<DirectFile>> DirectFile::create(const std::filesystem::path& path) {
  Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return fail_errno(errno, "make the file", path.string());
  return std::unique_ptr<DirectFile>(new DirectFile(std::move(fd), path.string()));
}

DirectFile::DirectFile(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)), memory_(static_cast<std::uint8_t*>(std::aligned_alloc(kAlignment, kMemoryBytes))) {
  if (!memory_) throw std::bad_alloc();
  set_direct(true);
}

DirectFile::~DirectFile() { (void)flush(); }

// A file system that can't says so here, or at the first write.
void DirectFile::set_direct(bool direct) {
  const int flags = ::fcntl(fd_.get(), F_GETFL);
  is_direct_ = flags >= 0 && ::fcntl(fd_.get(), F_SETFL, direct ? flags | O_DIRECT : flags & ~O_DIRECT) == 0 && direct;
}

Status DirectFile::write(ByteView bytes) {
  if (failed_ != 0) return fail_errno(failed_, "write", path_);
  while (!bytes.empty()) {
    const std::size_t count = std::min(kMemoryBytes - held_, bytes.size());
    std::memcpy(memory_.get() + held_, bytes.data(), count);
    held_ += count;
    bytes = bytes.subspan(count);
    if (held_ == kMemoryBytes) TRY(hand_over());
  }
  return {};
}

Status DirectFile::flush() {
  // The end is not aligned, and what follows it neither.
  if (is_direct_ && held_ % kAlignment != 0) set_direct(false);
  return hand_over();
}

Status DirectFile::hand_over() {
  std::size_t done = 0;
  while (done < held_ && failed_ == 0) {
    const ssize_t count = ::write(fd_.get(), memory_.get() + done, held_ - done);
    if (count >= 0) {
      done += static_cast<std::size_t>(count);
    } else if (errno == EINVAL && is_direct_) {
      set_direct(false);
    } else if (errno != EINTR) {
      failed_ = errno;
    }
  }
  held_ = 0;
  if (failed_ != 0) {
    // A disk that is full to its last page takes nothing from anybody: what little of this went in goes out again.
    [[maybe_unused]] const int ignored = ::ftruncate(fd_.get(), static_cast<off_t>(written_));
    return fail_errno(failed_, "write", path_);
  }
  written_ += done;
  // Through the cache the disk begins while the rest comes, so that little is left for the sync at the end; only that one proves anything.
  if (!is_direct_ && written_ - begun_ >= kWriteBackBytes) {
    ::sync_file_range(fd_.get(), static_cast<off64_t>(begun_), static_cast<off64_t>(written_ - begun_), SYNC_FILE_RANGE_WRITE);
    begun_ = written_;
  }
  return {};
}

}  // namespace redoubt
