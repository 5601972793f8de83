// SPDX-License-Identifier: Apache-2.0
#include "base/new_folder.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace redoubt {
namespace {

namespace fs = std::filesystem;

// Nothing while another process holds it.
Fd lock(const fs::path& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (fd && ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) fd.reset();
  return fd;
}

void remove_abandoned(const fs::path& parent, const std::string& start) {
  const auto names = list_folder(parent);
  if (!names) return;
  for (const auto& name : *names) {
    if (!name.starts_with(start) || name.size() != start.size() + 6) continue;
    std::error_code ignored;
    if (const Fd held = lock(parent / name)) fs::remove_all(parent / name, ignored);
  }
}

}  // namespace

Result<NewFolder> NewFolder::create(const fs::path& asked) {
  const fs::path target = fs::absolute(asked).lexically_normal();
  const fs::path place = target.has_filename() ? target : target.parent_path();
  std::error_code ignored;
  if (fs::exists(fs::symlink_status(place, ignored))) {
    if (!fs::is_directory(fs::symlink_status(place, ignored)) || !TRY(list_folder(place)).empty())
      return fail(ErrorCode::already_exists, "the folder to write is there and not empty", place.string(), "name a new folder");
  }
  TRY(make_folder(place.parent_path()));
  const std::string start = "." + place.filename().string() + ".import-";
  remove_abandoned(place.parent_path(), start);
  std::string name = (place.parent_path() / (start + "XXXXXX")).string();
  if (::mkdtemp(name.data()) == nullptr) return fail_errno(errno, "create a folder", name);
  NewFolder folder(place, name, lock(name));
  if (!folder.lock_) return fail_errno(errno, "lock the folder", name);
  return folder;
}

NewFolder::NewFolder(fs::path place, fs::path path, Fd held) : place_(std::move(place)), path_(std::move(path)), lock_(std::move(held)) {}
NewFolder::NewFolder(NewFolder&& other) noexcept : place_(std::move(other.place_)), path_(std::exchange(other.path_, {})), lock_(std::move(other.lock_)) {}

NewFolder::~NewFolder() {
  std::error_code ignored;
  if (!path_.empty()) fs::remove_all(path_, ignored);
}

Status NewFolder::commit() {
  TRY(sync_folder(path_));
  if (::rename(path_.c_str(), place_.c_str()) != 0) return fail_errno(errno, "put the folder in place", place_.string());
  path_.clear();
  return sync_folder(place_.parent_path());
}

}  // namespace redoubt
