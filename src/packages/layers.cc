// SPDX-License-Identifier: Apache-2.0
#include "packages/layers.h"

#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "base/file.h"

namespace redoubt::packages {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kChunk = 1 << 20, kPathMax = 8192;
constexpr std::string_view kWhiteout = ".wh.", kOpaque = ".wh..wh..opq";

struct FreeArchive {
  void operator()(archive* a) const { archive_read_free(a); }
};
using Archive = std::unique_ptr<archive, FreeArchive>;

// A path of an archive, clean; nothing for the root itself. One with ".." is refused.
Result<std::string> clean_path(const char* text, const std::string& where) {
  if (text == nullptr) return fail(ErrorCode::invalid_argument, "an entry without a readable name", where);
  std::string_view rest = text;
  std::string clean;
  while (!rest.empty()) {
    const auto slash = std::min(rest.find('/'), rest.size());
    const auto part = rest.substr(0, slash);
    rest.remove_prefix(std::min(slash + 1, rest.size()));
    if (part.empty() || part == ".") continue;
    if (part == "..") return fail(ErrorCode::invalid_argument, "a path that leaves the image", where + ": " + to_hex(view_of(text)));
    clean += (clean.empty() ? "" : "/") + std::string(part);
  }
  if (clean.size() > kPathMax) return fail(ErrorCode::limit_exceeded, "a path that is too long", where);
  return clean;
}

// Reads the data of an archive's entry, and takes it off the budget.
class EntrySource final : public Source {
 public:
  EntrySource(archive* from, ImageBudget& budget, std::string where) : from_(from), budget_(budget), where_(std::move(where)) {}
  Result<std::size_t> read(MutableByteView into) override {
    const la_ssize_t count = archive_read_data(from_, into.data(), into.size());
    if (count < 0) {
      const char* why = archive_error_string(from_);
      return fail(ErrorCode::invalid_argument, std::string("an entry that can't be unpacked: ") + (why == nullptr ? "unknown" : why), where_);
    }
    if (static_cast<std::uint64_t>(count) > budget_.bytes) return fail(ErrorCode::limit_exceeded, "the image is too large unpacked", where_);
    budget_.bytes -= static_cast<std::uint64_t>(count);
    return static_cast<std::size_t>(count);
  }

 private:
  archive* from_;
  ImageBudget& budget_;
  std::string where_;
};

// An archive that is read out of a source.
class SourceArchive {
 public:
  SourceArchive(Source& source, std::string where) : source_(source), where_(std::move(where)), chunk_(kChunk), archive_(archive_read_new()) {}
  archive* get() const { return archive_.get(); }

  // Calls `visit` for each entry; then the source is read to its end, since its digest is over all of it.
  template <class Visit>
  Status for_each(Visit visit) {
    archive_read_support_filter_gzip(get());
    archive_read_support_filter_zstd(get());
    archive_read_support_format_tar(get());
    archive_read_support_format_empty(get());
    archive_read_set_options(get(), "hdrcharset=BINARY");
    int status = archive_read_open(get(), this, nullptr, read_more, nullptr);
    archive_entry* entry = nullptr;
    while ((status == ARCHIVE_OK || status == ARCHIVE_WARN) && ((status = archive_read_next_header(get(), &entry)) == ARCHIVE_OK || status == ARCHIVE_WARN)) {
      if (Status visited = visit(entry); !visited) return error_ ? fail(*error_) : visited;
    }
    if (error_) return fail(*error_);
    if (status != ARCHIVE_EOF) {
      const char* why = archive_error_string(get());
      return fail(ErrorCode::invalid_argument, std::string("not a readable tar: ") + (why == nullptr ? "unknown" : why), where_);
    }
    while (TRY(source_.read(chunk_)) > 0) {
    }
    return {};
  }

 private:
  static la_ssize_t read_more(archive* reader, void* self, const void** bytes) {
    auto& mine = *static_cast<SourceArchive*>(self);
    auto count = mine.source_.read(mine.chunk_);
    if (!count) {
      mine.error_ = count.error();
      archive_set_error(reader, EIO, "%s", count.error().message.c_str());
      return -1;
    }
    *bytes = mine.chunk_.data();
    return static_cast<la_ssize_t>(*count);
  }

  Source& source_;
  std::string where_;
  Bytes chunk_;
  Archive archive_;
  std::optional<Error> error_;
};

Status add_entry(archive* from, archive_entry* entry, const std::string& where, RootFiles& root, ImageBudget& budget) {
  const std::string path = TRY(clean_path(archive_entry_pathname(entry), where));
  if (path.empty()) return {};
  const auto slash = path.rfind('/');
  const std::string name = path.substr(slash + 1), folder = slash == path.npos ? "" : path.substr(0, slash);
  if (name == kOpaque) return root.hide_contents(folder);
  if (name.starts_with(kWhiteout)) {
    // aufs' own files ("..wh..wh.plnk") hide nothing.
    if (name.starts_with(".wh..wh.")) return {};
    return root.hide((folder.empty() ? "" : folder + "/") + name.substr(kWhiteout.size()));
  }
  if (const char* target = archive_entry_hardlink(entry)) return root.add_hard_link(path, TRY(clean_path(target, where)));
  const auto type = archive_entry_filetype(entry);
  if (type == AE_IFDIR) return root.add_folder(path);
  if (type == AE_IFLNK) {
    const char* target = archive_entry_symlink(entry);
    return root.add_symbolic_link(path, target == nullptr ? "" : target);
  }
  if (type != AE_IFREG) return root.hide(path);  // a device tells of nothing
  EntrySource contents(from, budget, where + ": " + path);
  return root.add_file(path, (archive_entry_perm(entry) & 0111) != 0, contents);
}

Status walk(const fs::path& folder, const std::string& prefix, RootFiles& root, int depth) {
  constexpr int kFoldersMax = 200;
  if (depth > kFoldersMax) return fail(ErrorCode::limit_exceeded, "folders nested too deep", folder.string());
  for (const auto& name : TRY(list_folder(folder))) {
    const fs::path path = folder / name;
    const std::string relative = prefix + name;
    struct stat info {};
    if (::lstat(path.c_str(), &info) != 0) {
      if (errno == ENOENT) continue;
      return fail_errno(errno, "look at", path.string());
    }
    if (S_ISLNK(info.st_mode)) {
      std::error_code error;
      const auto target = fs::read_symlink(path, error);
      if (error) return fail(ErrorCode::unavailable, "a link can't be read: " + error.message(), path.string());
      TRY(root.add_symbolic_link(relative, target.string()));
    } else if (S_ISDIR(info.st_mode)) {
      const bool is_machines = prefix.empty() && (name == "proc" || name == "sys" || name == "dev" || name == "run");
      if (!is_machines) TRY(walk(path, relative + "/", root, depth + 1));
    } else if (S_ISREG(info.st_mode) && record_kind(relative, (info.st_mode & 0111) != 0)) {
      const auto file = TRY(FileReader::open_regular(path, Links::refuse));
      TRY(root.add_file(relative, (info.st_mode & 0111) != 0, *file));
    }
  }
  return {};
}

Status unpack_entry(archive* from, archive_entry* entry, const fs::path& folder, const std::string& where, ImageBudget& budget) {
  const std::string path = TRY(clean_path(archive_entry_pathname(entry), where));
  const char* hard = archive_entry_hardlink(entry);
  const char* soft = archive_entry_filetype(entry) == AE_IFLNK ? archive_entry_symlink(entry) : nullptr;
  if (path.empty() || (hard == nullptr && soft == nullptr && archive_entry_filetype(entry) != AE_IFREG)) return {};
  TRY(make_folder((folder / path).parent_path()));
  if (hard != nullptr || soft != nullptr) {
    // `docker save` names a layer that two images share by a link to the first.
    const fs::path target = hard != nullptr ? fs::path(hard) : (fs::path(path).parent_path() / soft).lexically_normal();
    if (!is_safe_relative_path(target.string()) || !is_plain_file(folder / target)) return fail(ErrorCode::invalid_argument, "a link that leaves the archive", where + ": " + path);
    std::error_code error;
    fs::create_hard_link(folder / target, folder / path, error);
    return error ? Status(fail(ErrorCode::invalid_argument, "a link that can't be made: " + error.message(), where + ": " + path)) : Status();
  }
  EntrySource contents(from, budget, where + ": " + path);
  const auto file = TRY(AtomicFile::create(folder / path));
  TRY(copy(contents, *file));
  return file->commit_new();
}

}  // namespace

Status add_layer(Source& layer, const std::string& where, RootFiles& root, ImageBudget& budget) {
  root.begin_layer();
  SourceArchive reader(layer, where);
  return reader.for_each([&](archive_entry* entry) { return add_entry(reader.get(), entry, where, root, budget); });
}

Status add_root_folder(const fs::path& folder, RootFiles& root) { return walk(folder, "", root, 0); }

Status unpack_archive(const fs::path& archive, const fs::path& folder, ImageBudget& budget) {
  const auto file = TRY(FileReader::open_regular(archive));
  SourceArchive reader(*file, archive.string());
  return reader.for_each([&](archive_entry* entry) { return unpack_entry(reader.get(), entry, folder, archive.string(), budget); });
}

}  // namespace redoubt::packages
