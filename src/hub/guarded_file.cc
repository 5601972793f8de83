// SPDX-License-Identifier: Apache-2.0
#include "hub/guarded_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace redoubt::hub {
namespace {

std::int64_t nanoseconds(const timespec& time) { return time.tv_sec * 1'000'000'000 + time.tv_nsec; }

}  // namespace

FileIdentity FileIdentity::of(const struct stat& info) {
  return {info.st_dev, info.st_ino, static_cast<std::uint64_t>(info.st_size), nanoseconds(info.st_mtim), nanoseconds(info.st_ctim)};
}

Json FileIdentity::to_json() const { return Json::array({device, inode, size, modified_ns, changed_ns}); }

Result<FileIdentity> FileIdentity::from_json(const Json& json, std::string_view where) {
  const bool is_sound = json.is_array() && json.size() == 5 && std::all_of(json.begin(), json.end(), [](const Json& number) { return number.is_number_integer(); });
  if (!is_sound) return fail(ErrorCode::invalid_argument, "a file's identity is no list of five numbers", std::string(where));
  return FileIdentity{json[0], json[1], json[2], json[3], json[4]};
}

Result<FileIdentity> identity_of(const std::filesystem::path& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return fail_errno(errno, "look at", path.string());
  if (!S_ISREG(info.st_mode)) return fail(ErrorCode::invalid_argument, "not a regular file", path.string());
  return FileIdentity::of(info);
}

Result<std::shared_ptr<GuardedFile>> GuardedFile::open(const std::filesystem::path& path, const FileIdentity& identity) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd) return fail_errno(errno, "open", path.string());
  auto file = std::shared_ptr<GuardedFile>(new GuardedFile(std::move(fd), identity, path.string()));
  TRY(file->check());
  return file;
}

GuardedFile::~GuardedFile() {
  if (done_) done_(read_);
}

Status GuardedFile::check() const {
  struct stat info {};
  if (::fstat(fd_.get(), &info) != 0) return fail_errno(errno, "look at", path_);
  if (S_ISREG(info.st_mode) && FileIdentity::of(info) == identity_) return {};
  return fail(ErrorCode::tampered, "the file is no longer the one that was scanned", path_);
}

Status GuardedFile::read_at(std::uint64_t offset, MutableByteView into) const {
  if (offset > identity_.size || into.size() > identity_.size - offset) return fail(ErrorCode::invalid_argument, "read beyond the end of a file", path_);
  read_ += into.size();
  while (!into.empty()) {
    const ssize_t count = ::pread(fd_.get(), into.data(), into.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno(errno, "read", path_);
    if (count == 0) return fail(ErrorCode::tampered, "the file became shorter", path_);
    into = into.subspan(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
  // After the bytes: what changed before they were read has changed the identity by now.
  return check();
}

}  // namespace redoubt::hub
