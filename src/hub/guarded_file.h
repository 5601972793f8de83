// SPDX-License-Identifier: Apache-2.0
//
// A file on disk that is given out only as long as it is the one that was looked at.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>

#include "base/file.h"
#include "base/json.h"

struct stat;

namespace redoubt::hub {

// Which file it is and in which state: writing to it, replacing it or touching it makes another one.
struct FileIdentity {
  std::uint64_t device = 0, inode = 0, size = 0;
  std::int64_t modified_ns = 0, changed_ns = 0;

  bool operator==(const FileIdentity&) const = default;
  static FileIdentity of(const struct stat& info);
  Json to_json() const;
  static Result<FileIdentity> from_json(const Json& json, std::string_view where);
};

// Of a regular file; links are not followed. invalid_argument for anything else.
Result<FileIdentity> identity_of(const std::filesystem::path& path);

// Reads a file that has that identity when it is opened and at every piece that is read; another one is tampered.
class GuardedFile final : public RandomAccess {
 public:
  using Done = std::function<void(std::uint64_t bytes_read)>;
  // `done` is called once, when the file is read no more, with how much was.
  static Result<std::shared_ptr<GuardedFile>> open(const std::filesystem::path& path, const FileIdentity& identity);
  ~GuardedFile() override;
  void on_done(Done done) { done_ = std::move(done); }
  std::uint64_t size() const override { return identity_.size; }
  Status read_at(std::uint64_t offset, MutableByteView into) const override;

 private:
  GuardedFile(Fd fd, FileIdentity identity, std::string path) : fd_(std::move(fd)), identity_(identity), path_(std::move(path)) {}
  Status check() const;
  Fd fd_;
  FileIdentity identity_;
  std::string path_;
  Done done_;
  mutable std::atomic<std::uint64_t> read_ = 0;
};

}  // namespace redoubt::hub
