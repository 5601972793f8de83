// SPDX-License-Identifier: Apache-2.0
#include "stages/acquire/gguf_import.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "base/file.h"
#include "stages/acquire/gguf_config.h"
#include "stages/acquire/gguf_tokenizer.h"
#include "stages/acquire/gguf_weights.h"

namespace redoubt::stages::acquire {
namespace {

namespace fs = std::filesystem;

// A folder beside its final place, which it takes in one rename; dropped before that, nothing is left. Its lock ends with its
// process, so that the next import knows what nobody writes any more.
class NewFolder {
 public:
  static Result<NewFolder> create(const fs::path& asked) {
    const fs::path target = fs::absolute(asked).lexically_normal();
    const fs::path place = target.has_filename() ? target : target.parent_path();
    std::error_code ignored;
    if (fs::exists(fs::symlink_status(place, ignored))) {
      if (!fs::is_directory(fs::symlink_status(place, ignored)) || !TRY(list_folder(place)).empty())
        return fail(ErrorCode::already_exists, "the folder to write is there and not empty", place.string(), "name a new folder");
    }
    TRY(make_folder(place.parent_path()));
    const std::string start = "." + place.filename().string() + ".import-";
    remove_leftovers(place.parent_path(), start);
    std::string name = (place.parent_path() / (start + "XXXXXX")).string();
    if (::mkdtemp(name.data()) == nullptr) return fail_errno(errno, "create a folder", name);
    NewFolder folder(place, name, lock(name));
    if (!folder.lock_) return fail_errno(errno, "lock the folder", name);
    return folder;
  }
  NewFolder(NewFolder&& other) noexcept : place_(std::move(other.place_)), path_(std::exchange(other.path_, {})), lock_(std::move(other.lock_)) {}
  NewFolder& operator=(NewFolder&&) = delete;
  ~NewFolder() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  const fs::path& path() const { return path_; }

  Status commit() {
    TRY(sync_folder(path_));
    if (::rename(path_.c_str(), place_.c_str()) != 0)
      return fail_errno(errno, "put the folder in place", place_.string());
    path_.clear();
    return sync_folder(place_.parent_path());
  }

 private:
  NewFolder(fs::path place, fs::path path, Fd held) : place_(std::move(place)), path_(std::move(path)), lock_(std::move(held)) {}

  // Nothing while another process holds it.
  static Fd lock(const fs::path& path) {
    Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (fd && ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) fd.reset();
    return fd;
  }

  static void remove_leftovers(const fs::path& parent, const std::string& start) {
    const auto names = list_folder(parent);
    if (!names) return;
    for (const auto& name : *names) {
      if (!name.starts_with(start) || name.size() != start.size() + 6) continue;
      std::error_code ignored;
      if (const Fd held = lock(parent / name)) fs::remove_all(parent / name, ignored);
    }
  }

  fs::path place_, path_;
  Fd lock_;
};

std::string pretty(const Json& value) { return value.dump(2) + "\n"; }

}  // namespace

Status import_gguf(const fs::path& path, const fs::path& folder, Progress& progress, const Stopped& stopped) {
  auto file = TRY(FileReader::open_regular(path));
  const auto header = TRY(weights::GgufHeader::read(*file, path.string()));
  const auto shape = TRY(read_gguf_shape(header));
  const auto config = TRY(make_config(header, shape, *file));
  const auto generation = TRY(make_generation_config(header));
  const auto tokenizer = TRY(make_tokenizer(header));

  auto target = TRY(NewFolder::create(folder));
  TRY(write_file(target.path() / "config.json", pretty(config)));
  TRY(write_file(target.path() / "generation_config.json", pretty(generation)));
  TRY(write_file(target.path() / "tokenizer.json", tokenizer.tokenizer));
  TRY(write_file(target.path() / "tokenizer_config.json", pretty(tokenizer.config)));
  TRY(write_file(target.path() / "special_tokens_map.json", pretty(tokenizer.special_tokens)));
  auto model = TRY(AtomicFile::create(target.path() / "model.safetensors"));
  TRY(write_gguf_weights(header, shape, *file, *model, progress, stopped));
  TRY(model->commit());
  return target.commit();
}

}  // namespace redoubt::stages::acquire
