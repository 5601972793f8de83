// SPDX-License-Identifier: Apache-2.0
#include "sandbox/work_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/write_all.h"

namespace redoubt::sandbox {
namespace {

constexpr int kDepthMax = 16;
constexpr std::size_t kCopyChunk = 1 << 20;

// This thread's file accesses act as the sandbox's user until the end of the scope. The mount belongs to a user namespace
// that doesn't know our own user, so the kernel would refuse to let us create files; and a path planted there gets no power
// of ours.
class ActAs {
 public:
  explicit ActAs(unsigned user) : group_(setfsgid(user)), user_(setfsuid(user)) {}
  ~ActAs() {
    setfsuid(user_);
    setfsgid(group_);
  }
  ActAs(const ActAs&) = delete;
  ActAs& operator=(const ActAs&) = delete;

 private:
  gid_t group_;
  uid_t user_;
};

int open_at(int folder, const std::string& path, std::uint64_t flags, std::uint64_t mode) {
  open_how how{};
  how.flags = flags | O_CLOEXEC | O_NOFOLLOW;
  how.mode = mode;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  return static_cast<int>(syscall(SYS_openat2, folder, path.c_str(), &how, sizeof how));
}

tl::unexpected<Error> fail_at(std::string doing, std::string_view path) {
  const std::string where = "/opt/ml/" + std::string(path);
  if (errno == ELOOP || errno == EXDEV) {
    return fail(ErrorCode::permission_denied, "there is a link in the sandbox's work folder", where,
                "the program inside may write files and folders only");
  }
  return fail_errno(errno, std::move(doing), where);
}

class WorkFile final : public RandomAccess {
 public:
  WorkFile(Fd fd, std::uint64_t size, std::string where) : fd_(std::move(fd)), size_(size), where_(std::move(where)) {}
  std::uint64_t size() const override { return size_; }
  Status read_at(std::uint64_t offset, MutableByteView into) const override {
    if (offset > size_ || into.size() > size_ - offset) {
      return fail(ErrorCode::invalid_argument, "read beyond the end", where_);
    }
    while (!into.empty()) {
      const ssize_t got = pread(fd_.get(), into.data(), into.size(), static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return fail_errno(errno, "read", where_);
      if (got == 0) return fail(ErrorCode::invalid_argument, "the file became shorter while it was read", where_);
      into = into.subspan(static_cast<std::size_t>(got));
      offset += static_cast<std::uint64_t>(got);
    }
    return {};
  }

 private:
  Fd fd_;
  std::uint64_t size_;
  std::string where_;
};

}  // namespace

Result<Fd> WorkFolder::open_beneath(std::string_view path, int flags) const {
  const std::string name = path.empty() ? "." : std::string(path);
  if (!path.empty() && !is_safe_relative_path(path)) {
    return fail(ErrorCode::invalid_argument, "not a safe relative path", std::string(path));
  }
  Fd fd(open_at(folder_.get(), name, static_cast<std::uint64_t>(flags), 0));
  if (!fd) return fail_at("open", path);
  return fd;
}

Status WorkFolder::make_folder(std::string_view path) {
  if (!is_safe_relative_path(path)) return fail(ErrorCode::invalid_argument, "not a safe relative path", std::string(path));
  ActAs act(user_);
  Fd parent(open_at(folder_.get(), ".", O_RDONLY | O_DIRECTORY, 0));
  for (std::size_t at = 0; at < path.size();) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    const std::string part(path.substr(at, end - at));
    if (mkdirat(parent.get(), part.c_str(), 0755) != 0 && errno != EEXIST) return fail_at("make folder", path);
    Fd next(open_at(parent.get(), part, O_RDONLY | O_DIRECTORY, 0));
    if (!next) return fail_at("open folder", path);
    parent = std::move(next);
    at = end + 1;
  }
  return {};
}

Status WorkFolder::write_input(std::string_view path, Source& contents) {
  if (!is_safe_relative_path(path)) return fail(ErrorCode::invalid_argument, "not a safe relative path", std::string(path));
  if (const std::size_t slash = path.rfind('/'); slash != path.npos) TRY(make_folder(path.substr(0, slash)));
  Fd file;
  {
    ActAs act(user_);
    file = Fd(open_at(folder_.get(), std::string(path), O_WRONLY | O_CREAT | O_EXCL, 0644));
    if (!file) return fail_at("create", path);
  }
  Bytes chunk(kCopyChunk);
  for (;;) {
    const std::size_t got = TRY(contents.read(chunk));
    if (got == 0) return {};
    if (!write_all(file.get(), ByteView(chunk).first(got))) return fail_at("write", path);
  }
}

Status WorkFolder::write_input(std::string_view path, std::string_view text) {
  MemorySource source(view_of(text));
  return write_input(path, source);
}

Status WorkFolder::list_into(const Fd& folder, const std::string& prefix, int depth, std::vector<FolderEntry>& out) const {
  if (depth > kDepthMax) return fail(ErrorCode::limit_exceeded, "folders nested too deep", prefix);
  Fd again(open_at(folder.get(), ".", O_RDONLY | O_DIRECTORY, 0));
  if (!again) return fail_at("list", prefix);
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(fdopendir(again.get()), closedir);
  if (!listing) return fail_at("list", prefix);
  again.release();
  while (const dirent* entry = readdir(listing.get())) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    const std::string path = prefix.empty() ? name : prefix + "/" + name;
    if (out.size() >= files_max_) return fail(ErrorCode::limit_exceeded, "too many files in the work folder", path);
    struct stat info {};
    if (fstatat(folder.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) continue;
      return fail_at("stat", path);
    }
    if (!is_safe_relative_path(name))
      return fail(ErrorCode::permission_denied, "not a safe file name", to_hex(view_of(name)));
    if (S_ISDIR(info.st_mode)) {
      Fd below(open_at(folder.get(), name, O_RDONLY | O_DIRECTORY, 0));
      if (!below) return fail_at("open folder", path);
      TRY(list_into(below, path, depth + 1, out));
    } else if (S_ISREG(info.st_mode)) {
      out.push_back({path, static_cast<std::uint64_t>(info.st_size)});
    } else {
      return fail(ErrorCode::permission_denied, "not a regular file or folder", "/opt/ml/" + path,
                  "the program inside may write files and folders only");
    }
  }
  return {};
}

Result<std::vector<FolderEntry>> WorkFolder::list(std::string_view path) const {
  ActAs act(user_);
  std::vector<FolderEntry> entries;
  auto folder = open_beneath(path, O_RDONLY | O_DIRECTORY);
  if (!folder && folder.error().code == ErrorCode::not_found) return entries;
  if (!folder) return fail(std::move(folder.error()));
  TRY(list_into(*folder, "", 0, entries));
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  return entries;
}

Result<std::vector<std::string>> WorkFolder::folders(std::string_view path) const {
  ActAs act(user_);
  std::vector<std::string> names;
  auto folder = open_beneath(path, O_RDONLY | O_DIRECTORY);
  if (!folder && folder.error().code == ErrorCode::not_found) return names;
  if (!folder) return fail(std::move(folder.error()));
  const int fd = folder->get();
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(fdopendir(fd), closedir);
  if (!listing) return fail_at("list", path);
  folder->release();
  while (const dirent* entry = readdir(listing.get())) {
    struct stat info {};
    const std::string name = entry->d_name;
    if (!is_safe_relative_path(name) || fstatat(fd, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (!S_ISDIR(info.st_mode)) continue;
    if (names.size() >= files_max_)
      return fail(ErrorCode::limit_exceeded, "too many folders", "/opt/ml/" + std::string(path));
    names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

Result<std::unique_ptr<RandomAccess>> WorkFolder::open(std::string_view path) const {
  if (path.empty()) return fail(ErrorCode::invalid_argument, "no file named", "/opt/ml");
  ActAs act(user_);
  // O_NONBLOCK: a planted FIFO must not hold us.
  Fd file = TRY(open_beneath(path, O_RDONLY | O_NONBLOCK | O_NOCTTY));
  struct stat info {};
  if (fstat(file.get(), &info) != 0) return fail_at("stat", path);
  const std::string where = "/opt/ml/" + std::string(path);
  if (!S_ISREG(info.st_mode)) return fail(ErrorCode::permission_denied, "not a regular file", where);
  const auto size = static_cast<std::uint64_t>(info.st_size);
  if (size > bytes_max_) return fail(ErrorCode::limit_exceeded, "the file is larger than the work folder may be", where);
  return std::make_unique<WorkFile>(std::move(file), size, where);
}

}  // namespace redoubt::sandbox
