// SPDX-License-Identifier: Apache-2.0
//
// Files that survive a power cut: every write is a temporary file, fsync, rename, fsync of the folder.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/stream.h"

namespace redoubt {

// Removes what AtomicFile left in a folder when its process died; files of live processes stay. Answers how many.
Result<int> remove_leftovers(const std::filesystem::path& folder);
// Whether a name is that of a file which AtomicFile is writing in a process that lives.
bool is_being_written(std::string_view name);

// An owned file descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept;
  ~Fd() { reset(); }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release();
  void reset();

 private:
  int fd_ = -1;
};

enum class FileMode { private_to_owner, readable_by_all };  // 0600 or 0644, whatever the umask allows

// The whole file; more than `bytes_max` is limit_exceeded.
Result<Bytes> read_file(const std::filesystem::path& path, std::uint64_t bytes_max);
Result<std::string> read_text_file(const std::filesystem::path& path, std::uint64_t bytes_max = 16 << 20);

// Replaces or creates the file atomically and durably. A crash leaves the old file or the new one.
Status write_file(const std::filesystem::path& path, ByteView bytes, FileMode mode = FileMode::private_to_owner);
Status write_file(const std::filesystem::path& path, std::string_view text, FileMode mode = FileMode::private_to_owner);

// Makes the folder and its parents, mode 0700 where new, and fsyncs the parents.
Status make_folder(const std::filesystem::path& path);
Status sync_folder(const std::filesystem::path& path);

// What stands under a name; false as well where it may not be looked at. Unlike std::filesystem's, they never throw.
bool is_there(const std::filesystem::path& path);       // anything, a link by itself
bool is_plain_file(const std::filesystem::path& path);  // through links
bool is_folder(const std::filesystem::path& path);      // through links

// The names in a folder, sorted; not recursive, links are listed and not followed.
Result<std::vector<std::string>> list_folder(const std::filesystem::path& path);
// Regular files below a folder as relative paths with '/', sorted. A symbolic link or special file is invalid_argument.
Result<std::vector<std::string>> list_files(const std::filesystem::path& path);

// Whether a relative path stays below its folder: no empty, "." or ".." part, no leading '/', no NUL or backslash.
bool is_safe_relative_path(std::string_view path);

// A file written in pieces that appears under its name only on `commit`; dropped before that, nothing is left.
class AtomicFile final : public Sink {
 public:
  static Result<std::unique_ptr<AtomicFile>> create(std::filesystem::path path, FileMode mode = FileMode::private_to_owner);
  ~AtomicFile() override;
  Status write(ByteView bytes) override;
  Status commit();
  // The same, but already_exists when the name is taken, even by a file that appeared meanwhile.
  Status commit_new();
  // Under another name in the same folder, for what is named by its contents.
  Status commit_as(std::filesystem::path path);

 private:
  Status put_in_place(unsigned rename_flags);
  AtomicFile(std::filesystem::path path, std::filesystem::path temporary, Fd fd)
      : path_(std::move(path)), temporary_(std::move(temporary)), fd_(std::move(fd)) {}
  std::filesystem::path path_, temporary_;
  Fd fd_;
};

enum class Links { follow, refuse };

// A file open for reading, both ways.
class FileReader final : public Source, public RandomAccess {
 public:
  static Result<std::unique_ptr<FileReader>> open(const std::filesystem::path& path);
  // Regular files alone: a pipe would block, a device may never end. invalid_argument for anything else, and for a link where
  // links are refused.
  static Result<std::unique_ptr<FileReader>> open_regular(const std::filesystem::path& path, Links links = Links::follow);
  Result<std::size_t> read(MutableByteView into) override;
  std::uint64_t size() const override { return size_; }
  Status read_at(std::uint64_t offset, MutableByteView into) const override;

 private:
  FileReader(std::string path, Fd fd, std::uint64_t size) : path_(std::move(path)), fd_(std::move(fd)), size_(size) {}
  std::string path_;
  Fd fd_;
  std::uint64_t size_ = 0;
};

// An exclusive flock on a file, held until dropped; it ends with the process.
class FileLock {
 public:
  // unavailable when another process holds it.
  static Result<FileLock> try_acquire(const std::filesystem::path& path);
  // Waits for it.
  static Result<FileLock> acquire(const std::filesystem::path& path);

 private:
  explicit FileLock(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

// A folder of mode 0700 that goes away with its owner.
class TemporaryFolder {
 public:
  static Result<TemporaryFolder> create();
  TemporaryFolder(TemporaryFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  TemporaryFolder& operator=(TemporaryFolder&&) = delete;
  ~TemporaryFolder();
  const std::filesystem::path& path() const { return path_; }

 private:
  explicit TemporaryFolder(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

}  // namespace redoubt
