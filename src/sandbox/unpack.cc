// SPDX-License-Identifier: Apache-2.0
#include "sandbox/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>

#include "base/layer_path.h"

namespace redoubt::sandbox {
namespace {

constexpr std::size_t kUnpackChunk = 1 << 20;
constexpr std::string_view kWhiteout = ".wh.", kOpaque = ".wh..wh..opq";

// Follows links of the image as they are meant, with `root` as their "/".
int open_in(int root, const std::string& path, std::uint64_t flags) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  return static_cast<int>(syscall(SYS_openat2, root, path.c_str(), &how, sizeof how));
}

// Removes a file or a whole folder; what isn't there is fine.
Status remove_tree(int parent, const std::string& name, int depth = 0) {
  if (unlinkat(parent, name.c_str(), 0) == 0 || errno == ENOENT) return {};
  if (errno != EISDIR && errno != EPERM) return fail_errno(errno, "remove", name);
  if (depth > 128) return fail(ErrorCode::limit_exceeded, "folders nested too deep", name);
  const int fd = openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return fail_errno(errno, "open folder", name);
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(fdopendir(fd), closedir);
  while (const dirent* entry = readdir(listing.get())) {
    const std::string below = entry->d_name;
    if (below != "." && below != "..") TRY(remove_tree(fd, below, depth + 1));
  }
  if (unlinkat(parent, name.c_str(), AT_REMOVEDIR) != 0) return fail_errno(errno, "remove folder", name);
  return {};
}

struct Place {
  Fd parent;
  std::string name;  // empty: the root itself
};

class Unpacker {
 public:
  Unpacker(Source& layer, int root, UnpackLimits& limits) : layer_(layer), root_(root), limits_(limits), chunk_(kUnpackChunk) {}
  Status run();

 private:
  static ssize_t read_layer(archive*, void* self, const void** bytes);
  Status unpack(archive_entry* entry);
  Status whiteout(const Place& place, const std::string& path);
  Status make_file(archive_entry* entry, const Place& place, const std::string& path);
  Status make_folder(archive_entry* entry, const Place& place);
  Status make_hardlink(const std::string& target, const Place& place);
  Result<Place> locate(const std::string& path);

  Source& layer_;
  int root_;
  UnpackLimits& limits_;
  Bytes chunk_;
  std::unique_ptr<archive, int (*)(archive*)> archive_{nullptr, archive_read_free};
  std::optional<Error> source_error_;
};

ssize_t Unpacker::read_layer(archive* reader, void* self, const void** bytes) {
  auto& unpacker = *static_cast<Unpacker*>(self);
  auto got = unpacker.layer_.read(unpacker.chunk_);
  if (!got) {
    unpacker.source_error_ = got.error();
    archive_set_error(reader, EIO, "%s", got.error().message.c_str());
    return -1;
  }
  *bytes = unpacker.chunk_.data();
  return static_cast<ssize_t>(*got);
}

Status Unpacker::run() {
  archive_.reset(archive_read_new());
  archive* reader = archive_.get();
  archive_read_support_filter_gzip(reader);
  archive_read_support_filter_zstd(reader);
  archive_read_support_format_tar(reader);
  archive_read_support_format_empty(reader);
  archive_read_set_options(reader, "hdrcharset=BINARY");
  int status = archive_read_open(reader, this, nullptr, read_layer, nullptr);
  archive_entry* entry = nullptr;
  while (status == ARCHIVE_OK && (status = archive_read_next_header(reader, &entry)) == ARCHIVE_OK) TRY(unpack(entry));
  if (source_error_) return fail(*source_error_);
  if (status != ARCHIVE_EOF) {
    const char* why = archive_error_string(reader);
    return fail(ErrorCode::invalid_argument, std::string("not a readable tar: ") + (why ? why : "unknown"), "image layer");
  }
  // The bytes behind the archive's end belong to the digest too.
  for (;;) {
    if (TRY(layer_.read(chunk_)) == 0) return {};
  }
}

// The parent folder of a path; folders that no entry named before are made, as other unpackers do.
Result<Place> Unpacker::locate(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == path.npos ? "." : path.substr(0, slash);
  Place place{Fd(open_in(root_, folder, O_RDONLY | O_DIRECTORY)), slash == path.npos ? path : path.substr(slash + 1)};
  if (!place.parent && errno == ENOENT && slash != path.npos) {
    const Place above = TRY(locate(folder));
    if (mkdirat(above.parent.get(), above.name.c_str(), 0755) != 0) return fail_errno(errno, "make folder", folder);
    place.parent = Fd(open_in(root_, folder, O_RDONLY | O_DIRECTORY));
  }
  if (!place.parent) return fail(ErrorCode::invalid_argument, "an entry below what is no folder", path);
  return place;
}

Status Unpacker::unpack(archive_entry* entry) {
  if (limits_.entries_max == 0) return fail(ErrorCode::limit_exceeded, "the image has too many files", "image layer");
  --limits_.entries_max;
  const std::string path = TRY(clean_layer_path(archive_entry_pathname(entry)));
  if (path.empty()) return {};
  const Place place = TRY(locate(path));
  if (place.name.starts_with(kWhiteout)) return whiteout(place, path);
  const char* hardlink = archive_entry_hardlink(entry);
  const mode_t type = archive_entry_filetype(entry);
  if (hardlink == nullptr && type == AE_IFDIR) return make_folder(entry, place);
  if (hardlink == nullptr && type != AE_IFREG && type != AE_IFLNK) {
    return fail(ErrorCode::invalid_argument, "a device, FIFO or socket in an image", path);
  }
  if (hardlink != nullptr) return make_hardlink(TRY(clean_layer_path(hardlink)), place);
  TRY(remove_tree(place.parent.get(), place.name));
  if (type == AE_IFREG) return make_file(entry, place, path);
  const char* target = archive_entry_symlink(entry);
  if (target == nullptr || symlinkat(target, place.parent.get(), place.name.c_str()) != 0) {
    return fail_errno(errno, "make a symbolic link", path);
  }
  return {};
}

Status Unpacker::whiteout(const Place& place, const std::string& path) {
  if (place.name == kOpaque) {
    const int fd = fcntl(place.parent.get(), F_DUPFD_CLOEXEC, 3);
    const std::unique_ptr<DIR, int (*)(DIR*)> listing(fdopendir(fd), closedir);
    if (!listing) return fail_errno(errno, "list", path);
    while (const dirent* entry = readdir(listing.get())) {
      const std::string name = entry->d_name;
      if (name != "." && name != "..") TRY(remove_tree(place.parent.get(), name));
    }
    return {};
  }
  const std::string hidden = place.name.substr(kWhiteout.size());
  if (hidden.empty() || hidden == "." || hidden == "..") return fail(ErrorCode::invalid_argument, "a bad whiteout", path);
  return remove_tree(place.parent.get(), hidden);
}

Status Unpacker::make_folder(archive_entry* entry, const Place& place) {
  const mode_t mode = (archive_entry_perm(entry) & 0777) | 0700;
  if (mkdirat(place.parent.get(), place.name.c_str(), mode) == 0) return {};
  struct stat info {};
  if (errno != EEXIST || fstatat(place.parent.get(), place.name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    return fail_errno(errno, "make folder", place.name);
  }
  if (S_ISDIR(info.st_mode)) {
    if (fchmodat(place.parent.get(), place.name.c_str(), mode, 0) != 0) return fail_errno(errno, "chmod", place.name);
    return {};
  }
  TRY(remove_tree(place.parent.get(), place.name));
  if (mkdirat(place.parent.get(), place.name.c_str(), mode) != 0) return fail_errno(errno, "make folder", place.name);
  return {};
}

Status Unpacker::make_hardlink(const std::string& target, const Place& place) {
  if (target.empty()) return fail(ErrorCode::invalid_argument, "a hard link to nothing", place.name);
  const Place from = TRY(locate(target));
  struct stat info {
  }, old{};
  if (fstatat(from.parent.get(), from.name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0 || S_ISDIR(info.st_mode)) {
    return fail(ErrorCode::invalid_argument, "a hard link to what isn't there", target);
  }
  if (fstatat(place.parent.get(), place.name.c_str(), &old, AT_SYMLINK_NOFOLLOW) == 0 && old.st_ino == info.st_ino)
    return {};
  TRY(remove_tree(place.parent.get(), place.name));
  if (linkat(from.parent.get(), from.name.c_str(), place.parent.get(), place.name.c_str(), 0) != 0) {
    return fail_errno(errno, "make a hard link", target);
  }
  return {};
}

Status Unpacker::make_file(archive_entry* entry, const Place& place, const std::string& path) {
  const mode_t mode = (archive_entry_perm(entry) & 0777) | 0400;
  const Fd file(openat(place.parent.get(), place.name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
  if (!file) return fail_errno(errno, "create", path);
  const void* bytes = nullptr;
  std::size_t size = 0;
  la_int64_t offset = 0;
  int status;
  while ((status = archive_read_data_block(archive_.get(), &bytes, &size, &offset)) == ARCHIVE_OK) {
    if (size > limits_.bytes_max) return fail(ErrorCode::limit_exceeded, "the image is larger than its limit", path);
    limits_.bytes_max -= size;
    for (const char* at = static_cast<const char*>(bytes); size > 0;) {
      const ssize_t wrote = pwrite(file.get(), at, size, offset);
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote < 0) return fail_errno(errno, "write", path);
      at += wrote, size -= static_cast<std::size_t>(wrote), offset += wrote;
    }
  }
  if (source_error_) return fail(*source_error_);
  if (status != ARCHIVE_EOF) return fail(ErrorCode::invalid_argument, "a file of the image ends early", path);
  // A sparse file may end in a hole.
  if (ftruncate(file.get(), archive_entry_size(entry)) != 0) return fail_errno(errno, "write", path);
  return {};
}

}  // namespace

Status unpack_layer(Source& layer, int root, UnpackLimits& limits) { return Unpacker(layer, root, limits).run(); }

}  // namespace redoubt::sandbox
