// SPDX-License-Identifier: Apache-2.0
#include "provider/local/local_object_store.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.h"

namespace redoubt::provider::local {
namespace fs = std::filesystem;
namespace {

tl::unexpected<Error> taken(std::string_view key) {
  return fail(ErrorCode::already_exists, "the key is taken", std::string(key));
}

}  // namespace

Result<std::unique_ptr<LocalObjectStore>> LocalObjectStore::open(fs::path folder) {
  TRY(make_folder(folder));
  return std::unique_ptr<LocalObjectStore>(new LocalObjectStore(std::move(folder)));
}

Result<fs::path> LocalObjectStore::path_of(std::string_view key) const {
  if (!is_object_key(key)) {
    return fail(ErrorCode::invalid_argument, "not a key for an object", std::string(key.substr(0, 512)));
  }
  return folder_ / key;
}

Status LocalObjectStore::put(std::string_view key, Source& contents, PutMode mode) {
  const auto path = TRY(path_of(key));
  std::error_code ignored;
  if (mode == PutMode::create_only && fs::exists(path, ignored)) return taken(key);
  TRY(make_folder(path.parent_path()));
  auto file = TRY(AtomicFile::create(path));
  TRY(copy(contents, *file));
  auto committed = mode == PutMode::create_only ? file->commit_new() : file->commit();
  if (!committed && committed.error().code == ErrorCode::already_exists) return taken(key);
  return committed;
}

Result<std::unique_ptr<RandomAccess>> LocalObjectStore::open(std::string_view key) {
  return TRY(FileReader::open(TRY(path_of(key))));
}

Result<std::vector<std::string>> LocalObjectStore::list(std::string_view prefix) {
  std::vector<std::string> keys;
  for (auto& path : TRY(list_files(folder_))) {
    const bool is_hidden = path.front() == '.' || path.find("/.") != path.npos;
    if (!is_hidden && path.starts_with(prefix)) keys.push_back(std::move(path));
  }
  return keys;
}

Status LocalObjectStore::remove(std::string_view key) {
  const auto path = TRY(path_of(key));
  if (::unlink(path.c_str()) != 0) {
    // A folder stands for a part of other keys, not for an object.
    return fail_errno(errno == EISDIR || errno == EPERM || errno == ENOTDIR ? ENOENT : errno, "remove", std::string(key));
  }
  return sync_folder(path.parent_path());
}

Status LocalObjectStore::adopt(std::string_view key, const fs::path& file) {
  const auto path = TRY(path_of(key));
  TRY(make_folder(path.parent_path()));
  const Fd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return fail_errno(errno, "open", file.string());
  if (::fsync(fd.get()) != 0) return fail_errno(errno, "sync", file.string());
  if (::renameat2(AT_FDCWD, file.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE) == 0) return sync_folder(path.parent_path());
  if (errno == EEXIST) return taken(key);
  // Another disk, or a file system that can't rename so.
  if (errno == EXDEV || errno == EINVAL) return ObjectStore::adopt(key, file);
  return fail_errno(errno, "put in place", path.string());
}

Result<int> LocalObjectStore::remove_leftovers() {
  int removed = TRY(redoubt::remove_leftovers(folder_));
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder_, error), end; !error && at != end; at.increment(error)) {
    if (at->is_directory(error) && !at->is_symlink(error)) removed += TRY(redoubt::remove_leftovers(at->path()));
  }
  if (error) return fail_errno(error.value(), "list the folder", folder_.string());
  return removed;
}

}  // namespace redoubt::provider::local
