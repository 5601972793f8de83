// SPDX-License-Identifier: Apache-2.0
#include "packages/layers.h"

#include <sys/stat.h>

#include "base/file.h"

namespace redoubt::packages {
namespace fs = std::filesystem;
using image_layer::EntryKind;
using image_layer::LayerEntry;
using image_layer::Oddities;
namespace {

// Where in which layer: its own reader knows the one, and who called it the other.
Status within(const std::string& where, Status status) {
  if (!status && status.error().where.find(where) == std::string::npos) status.error().where = where + ": " + status.error().where;
  return status;
}

Status add_entry(const LayerEntry& entry, Source& contents, RootFiles& root) {
  if (entry.kind == EntryKind::opaque) return root.hide_contents(entry.path);
  if (entry.path.empty()) return {};
  switch (entry.kind) {
    case EntryKind::folder: return root.add_folder(entry.path);
    case EntryKind::symbolic_link: return root.add_symbolic_link(entry.path, entry.link);
    case EntryKind::hard_link: return root.add_hard_link(entry.path, entry.link);
    case EntryKind::file: return root.add_file(entry.path, (entry.mode & 0111) != 0, contents);
    default: return root.hide(entry.path);  // a whiteout; and a device tells of nothing
  }
}

Status read_layer(const OpenLayer& open, const std::string& where, LayerLimits& limits, const image_layer::OnEntry& on_entry) {
  const auto layer = TRY(open());
  const auto plain = TRY(image_layer::uncompressed(*layer));
  TRY(within(where, image_layer::read_tar(*plain, limits, on_entry, Oddities::pass)));
  // Its digest is over all of it.
  Bytes chunk(64 << 10);
  while (TRY(layer->read(chunk)) > 0) {
  }
  return {};
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

Status unpack_entry(const LayerEntry& entry, Source& contents, const fs::path& folder) {
  const bool is_link = entry.kind == EntryKind::hard_link || entry.kind == EntryKind::symbolic_link;
  if (entry.path.empty() || (!is_link && entry.kind != EntryKind::file)) return {};
  const fs::path path = folder / entry.path;
  TRY(make_folder(path.parent_path()));
  if (is_link) {
    // `docker save` names a layer that two images share by a link to the first.
    const fs::path target = entry.kind == EntryKind::hard_link ? fs::path(entry.link) : (fs::path(entry.path).parent_path() / entry.link).lexically_normal();
    if (!is_safe_relative_path(target.string()) || !is_plain_file(folder / target)) return fail(ErrorCode::invalid_argument, "a link that leaves the archive", entry.path);
    std::error_code error;
    fs::create_hard_link(folder / target, path, error);
    return error ? Status(fail(ErrorCode::invalid_argument, "a link that can't be made: " + error.message(), entry.path)) : Status();
  }
  const auto file = TRY(AtomicFile::create(path));
  TRY(copy(contents, *file));
  return file->commit_new();
}

}  // namespace

Status add_layer(const OpenLayer& open, const std::string& where, RootFiles& root, LayerLimits& limits) {
  root.begin_layer();
  LayerLimits again = limits;
  TRY(read_layer(open, where, limits, [&](const LayerEntry& entry, Source& contents) { return add_entry(entry, contents, root); }));
  if (!root.has_unread_links()) return {};
  return read_layer(open, where, again, [&](const LayerEntry& entry, Source& contents) { return entry.kind == EntryKind::file ? root.read_for_links(entry.path, contents) : Status(); });
}

Status add_root_folder(const fs::path& folder, RootFiles& root) { return walk(folder, "", root, 0); }

Status unpack_archive(const fs::path& archive, const fs::path& folder, LayerLimits& limits) {
  const auto file = TRY(FileReader::open_regular(archive));
  const auto plain = TRY(image_layer::uncompressed(*file));
  return within(archive.string(), image_layer::read_tar(*plain, limits, [&](const LayerEntry& entry, Source& contents) { return unpack_entry(entry, contents, folder); }, Oddities::pass));
}

}  // namespace redoubt::packages
