// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <optional>

#include "base/check.h"
#include "base/write_all.h"

namespace redoubt {
namespace fs = std::filesystem;
namespace {

// Unique among the live processes and threads of this machine; a name left by a dead process is overwritten.
fs::path temporary_name(const fs::path& path) {
  static std::atomic<unsigned> counter{0};
  return path.parent_path() /
         ("." + path.filename().string() + "." + std::to_string(::getpid()) + "." + std::to_string(counter++) + ".tmp");
}

// The process id in a name that temporary_name made.
std::optional<pid_t> writer_of_temporary(std::string_view name) {
  constexpr std::string_view kEnd = ".tmp";
  if (!name.starts_with('.') || !name.ends_with(kEnd)) return std::nullopt;
  name.remove_suffix(kEnd.size());
  const auto counter = name.rfind('.');
  const auto process = counter == name.npos || counter == 0 ? name.npos : name.rfind('.', counter - 1);
  if (process == name.npos) return std::nullopt;
  const auto digits = name.substr(process + 1, counter - process - 1);
  pid_t pid = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), pid);
  if (error != std::errc{} || end != digits.data() + digits.size() || pid <= 0) return std::nullopt;
  return pid;
}

fs::path parent_of(const fs::path& path) { return path.parent_path().empty() ? fs::path(".") : path.parent_path(); }

Result<FileLock> lock_file(const fs::path& path, int operation, auto make) {
  Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd) return fail_errno(errno, "open the lock file", path.string());
  while (::flock(fd.get(), operation) != 0) {
    if (errno == EINTR) continue;
    if (errno == EWOULDBLOCK) {
      return fail(ErrorCode::unavailable, "another redoubt process holds the lock", path.string(),
                  "wait until the other command has ended, then run this one again");
    }
    return fail_errno(errno, "lock", path.string());
  }
  return make(std::move(fd));
}

Status collect_files(const fs::path& root, const std::string& prefix, std::vector<std::string>& out) {
  for (const auto& name : TRY(list_folder(root / prefix))) {
    const std::string relative = prefix.empty() ? name : prefix + "/" + name;
    struct stat info {};
    if (::lstat((root / relative).c_str(), &info) != 0) return fail_errno(errno, "look at", (root / relative).string());
    if (S_ISDIR(info.st_mode)) {
      TRY(collect_files(root, relative, out));
    } else if (S_ISREG(info.st_mode)) {
      out.push_back(relative);
    } else {
      return fail(ErrorCode::invalid_argument, "neither a regular file nor a folder", (root / relative).string(),
                  "replace links and special files by plain files");
    }
  }
  return {};
}

}  // namespace

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = other.release();
  }
  return *this;
}

int Fd::release() { return std::exchange(fd_, -1); }

void Fd::reset() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Result<Bytes> read_file(const fs::path& path, std::uint64_t bytes_max) {
  auto reader = TRY(FileReader::open(path));
  auto bytes = read_all(*reader, bytes_max);
  if (!bytes) bytes.error().where = path.string();
  return bytes;
}

Result<std::string> read_text_file(const fs::path& path, std::uint64_t bytes_max) {
  return to_text(TRY(read_file(path, bytes_max)));
}

Status write_file(const fs::path& path, ByteView bytes, FileMode mode) {
  auto file = TRY(AtomicFile::create(path, mode));
  TRY(file->write(bytes));
  return file->commit();
}

Status write_file(const fs::path& path, std::string_view text, FileMode mode) { return write_file(path, view_of(text), mode); }

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(fs::symlink_status(path, ignored));
}

bool is_plain_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

Status make_folder(const fs::path& path) {
  if (path.empty() || is_folder(path)) return {};
  TRY(make_folder(path.parent_path()));
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return fail_errno(errno, "make the folder", path.string());
  return sync_folder(parent_of(path));
}

Status sync_folder(const fs::path& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return fail_errno(errno, "open the folder", path.string());
  if (::fsync(fd.get()) != 0) return fail_errno(errno, "sync the folder", path.string());
  return {};
}

Result<std::vector<std::string>> list_folder(const fs::path& path) {
  DIR* folder = ::opendir(path.c_str());
  if (folder == nullptr) return fail_errno(errno, "list the folder", path.string());
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(folder)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  ::closedir(folder);
  std::sort(names.begin(), names.end());
  return names;
}

Result<std::vector<std::string>> list_files(const fs::path& path) {
  std::vector<std::string> files;
  TRY(collect_files(path, "", files));
  std::sort(files.begin(), files.end());
  return files;
}

bool is_safe_relative_path(std::string_view path) {
  if (path.empty() || path.size() > 4096 || path.front() == '/') return false;
  if (path.find('\0') != path.npos || path.find('\\') != path.npos) return false;
  while (true) {
    const auto slash = path.find('/');
    const auto part = path.substr(0, slash);
    if (part.empty() || part == "." || part == "..") return false;
    if (slash == path.npos) return true;
    path.remove_prefix(slash + 1);
  }
}

bool is_being_written(std::string_view name) {
  const auto writer = writer_of_temporary(name);
  return writer && (::kill(*writer, 0) == 0 || errno != ESRCH);
}

Result<int> remove_leftovers(const fs::path& folder) {
  int removed = 0;
  for (const auto& name : TRY(list_folder(folder))) {
    if (!writer_of_temporary(name) || is_being_written(name)) continue;
    if (::unlink((folder / name).c_str()) == 0) ++removed;
  }
  return removed;
}

Result<std::unique_ptr<AtomicFile>> AtomicFile::create(fs::path path, FileMode mode) {
  auto temporary = temporary_name(path);
  Fd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
               mode == FileMode::private_to_owner ? 0600 : 0644));
  if (!fd) return fail_errno(errno, "create", path.string());
  return std::unique_ptr<AtomicFile>(new AtomicFile(std::move(path), std::move(temporary), std::move(fd)));
}

AtomicFile::~AtomicFile() {
  if (fd_) ::unlink(temporary_.c_str());
}

Status AtomicFile::write(ByteView bytes) {
  if (!write_all(fd_.get(), bytes)) return fail_errno(errno, "write", path_.string());
  return {};
}

Status AtomicFile::commit() { return put_in_place(0); }

Status AtomicFile::commit_new() { return put_in_place(RENAME_NOREPLACE); }

Status AtomicFile::commit_as(fs::path path) {
  CHECK(path.parent_path() == path_.parent_path());
  path_ = std::move(path);
  return put_in_place(0);
}

Status AtomicFile::put_in_place(unsigned rename_flags) {
  if (::fsync(fd_.get()) != 0) return fail_errno(errno, "sync", path_.string());
  if (::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, path_.c_str(), rename_flags) != 0) {
    return fail_errno(errno, "put in place", path_.string());
  }
  fd_.reset();
  return sync_folder(parent_of(path_));
}

Result<std::unique_ptr<FileReader>> FileReader::open(const fs::path& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!fd) return fail_errno(errno, "open", path.string());
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return fail_errno(errno, "look at", path.string());
  if (S_ISDIR(info.st_mode)) return fail(ErrorCode::invalid_argument, "is a folder, not a file", path.string());
  return std::unique_ptr<FileReader>(
      new FileReader(path.string(), std::move(fd), static_cast<std::uint64_t>(info.st_size)));
}

Result<std::unique_ptr<FileReader>> FileReader::open_regular(const fs::path& path, Links links) {
  const auto irregular = [&] {
    return fail(ErrorCode::invalid_argument, "not a regular file", path.string(), "name a plain file; links and devices are not read");
  };
  struct stat info {};
  // Looked at before it is opened, since opening a device can do something; and again after, since it could be another by then.
  const int looked = links == Links::follow ? ::stat(path.c_str(), &info) : ::lstat(path.c_str(), &info);
  if (looked != 0) return fail_errno(errno, "open", path.string());
  if (S_ISDIR(info.st_mode)) return fail(ErrorCode::invalid_argument, "is a folder, not a file", path.string());
  if (!S_ISREG(info.st_mode)) return irregular();
  const int flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (links == Links::refuse ? O_NOFOLLOW : 0);
  Fd fd(::open(path.c_str(), flags));
  if (!fd) return fail_errno(errno, "open", path.string());
  if (::fstat(fd.get(), &info) != 0) return fail_errno(errno, "look at", path.string());
  if (!S_ISREG(info.st_mode)) return irregular();
  return std::unique_ptr<FileReader>(
      new FileReader(path.string(), std::move(fd), static_cast<std::uint64_t>(info.st_size)));
}

Result<std::size_t> FileReader::read(MutableByteView into) {
  while (true) {
    const ssize_t count = ::read(fd_.get(), into.data(), into.size());
    if (count >= 0) return static_cast<std::size_t>(count);
    if (errno != EINTR) return fail_errno(errno, "read", path_);
  }
}

Status FileReader::read_at(std::uint64_t offset, MutableByteView into) const {
  if (offset > size_ || into.size() > size_ - offset) {
    return fail(ErrorCode::invalid_argument, "read beyond the end of the file", path_);
  }
  while (!into.empty()) {
    const ssize_t count = ::pread(fd_.get(), into.data(), into.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno(errno, "read", path_);
    if (count == 0) return fail(ErrorCode::unavailable, "the file became shorter while it was read", path_);
    into = into.subspan(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
  return {};
}

Result<FileLock> FileLock::try_acquire(const fs::path& path) {
  return lock_file(path, LOCK_EX | LOCK_NB, [](Fd fd) { return FileLock(std::move(fd)); });
}

Result<FileLock> FileLock::acquire(const fs::path& path) {
  return lock_file(path, LOCK_EX, [](Fd fd) { return FileLock(std::move(fd)); });
}

Result<TemporaryFolder> TemporaryFolder::create() {
  std::error_code error;
  const fs::path base = fs::temp_directory_path(error);
  if (error) return fail_errno(error.value(), "use the folder for temporary files", "$TMPDIR");
  std::string pattern = (base / "redoubt-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) return fail_errno(errno, "make a temporary folder", pattern);
  return TemporaryFolder(fs::path(pattern));
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  if (!path_.empty()) fs::remove_all(path_, ignored);
}

}  // namespace redoubt
