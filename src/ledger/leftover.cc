// SPDX-License-Identifier: Apache-2.0
#include "ledger/leftover.h"

#include <charconv>
#include <optional>

namespace redoubt::ledger {
namespace {

std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

struct ParsedPath {
  bool is_bundle = false;
  TileName name;
};

// The inverse of tile_path and bundle_path; only paths that those write are taken.
std::optional<ParsedPath> parse_path(const std::string& path) {
  ParsedPath parsed;
  std::string_view rest = path;
  if (!rest.starts_with("tile/")) return std::nullopt;
  rest.remove_prefix(5);
  const auto slash = rest.find('/');
  if (slash == rest.npos) return std::nullopt;
  parsed.is_bundle = rest.substr(0, slash) == "entries";
  const auto level = parsed.is_bundle ? 0 : parse_number(rest.substr(0, slash));
  if (!level || *level > 7) return std::nullopt;
  parsed.name.level = static_cast<unsigned>(*level);
  rest.remove_prefix(slash + 1);
  parsed.name.width = kTileWidth;
  if (const auto partial = rest.find(".p/"); partial != rest.npos) {
    const auto width = parse_number(rest.substr(partial + 3));
    if (!width || *width == 0 || *width >= kTileWidth) return std::nullopt;
    parsed.name.width = *width;
    rest = rest.substr(0, partial);
  }
  std::string digits;
  for (const char c : rest) {
    if (c != 'x' && c != '/') digits.push_back(c);
  }
  const auto index = parse_number(digits);
  if (!index) return std::nullopt;
  parsed.name.index = *index;
  const auto& name = parsed.name;
  const auto written =
      parsed.is_bundle ? bundle_path(name.index, name.width) : tile_path(name.level, name.index, name.width);
  return written == path ? std::optional(parsed) : std::nullopt;
}

FileRole role_of(const TileName& name, std::uint64_t size) {
  const std::uint64_t hashes = size >> (8 * name.level);
  const std::uint64_t next_hashes = (size + 1) >> (8 * name.level);
  const auto width_in = [&](std::uint64_t count) {
    const auto first = name.index * kTileWidth;
    return count <= first ? 0 : std::min(kTileWidth, count - first);
  };
  const auto width = width_in(hashes);
  if (name.width == width) return FileRole::current;
  if (name.width < width) return FileRole::superseded;
  return name.width == width_in(next_hashes) ? FileRole::next : FileRole::stray;
}

// ".<name>.<pid>.<number>.tmp", as AtomicFile names its unfinished files: the path that it would have become.
std::optional<std::string> target_of_temporary(const std::string& path) {
  const auto slash = path.rfind('/');
  const auto folder = slash == path.npos ? "" : path.substr(0, slash + 1);
  std::string_view name = std::string_view(path).substr(folder.size());
  if (!name.starts_with('.') || !name.ends_with(".tmp")) return std::nullopt;
  name = name.substr(1, name.size() - 5);
  for (int part = 0; part < 2; ++part) {
    const auto dot = name.rfind('.');
    if (dot == name.npos || !parse_number(name.substr(dot + 1))) return std::nullopt;
    name = name.substr(0, dot);
  }
  return folder + std::string(name);
}

}  // namespace

FileKind kind_of_file(const std::string& path, std::uint64_t size) {
  if (path == kCheckpointName || path == kLockName) return {FileRole::current, false, {}};
  if (const auto parsed = parse_path(path)) return {role_of(parsed->name, size), parsed->is_bundle, parsed->name};
  if (const auto target = target_of_temporary(path)) {
    const auto kind = kind_of_file(*target, size);
    // A daemon may have appended past the place where another process was killed, so the target may be of any role.
    if (kind.role != FileRole::stray && *target != kLockName) return {FileRole::temporary, kind.is_bundle, kind.name};
  }
  return {};
}

Status remove_leftovers(const LedgerOptions& options, const OpenedLedger& opened) {
  const auto paths = list_files(options.folder);
  if (!paths) return fail(ErrorCode::tampered, "something in the ledger's folder is no plain file", paths.error().where);
  for (const auto& path : *paths) {
    const auto role = kind_of_file(path, opened.checkpoint.head.size).role;
    if (role == FileRole::current || role == FileRole::stray) continue;
    std::error_code error;
    std::filesystem::remove(options.folder / path, error);
    if (error) return fail_errno(error.value(), "remove what an interrupted append left", path);
    std::filesystem::remove((options.folder / path).parent_path(), error);  // once it is empty
  }
  return {};
}

}  // namespace redoubt::ledger
