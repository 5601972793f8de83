// SPDX-License-Identifier: Apache-2.0
#include "stages/image/recipe/context.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/file.h"

namespace redoubt::stages::image::recipe {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kEntriesMax = 1'000'000, kLinkBytesMax = 4000;
constexpr int kFolderDepthMax = 128;

Result<struct stat> look_at(const fs::path& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return fail_errno(errno, "look at", path.string());
  return info;
}

Result<std::string> read_link(const fs::path& path) {
  std::string target(kLinkBytesMax + 1, '\0');
  const ssize_t length = ::readlink(path.c_str(), target.data(), target.size());
  if (length < 0) return fail_errno(errno, "read the link", path.string());
  if (static_cast<std::size_t>(length) > kLinkBytesMax) return fail(ErrorCode::limit_exceeded, "a link that is too long", path.string());
  target.resize(static_cast<std::size_t>(length));
  return target;
}

Result<oci::TreeNode> node_of(const fs::path& path, const struct stat& info) {
  oci::TreeNode node;
  if (S_ISDIR(info.st_mode)) {
    node.kind = oci::EntryKind::folder;
    node.mode = 0755;
  } else if (S_ISLNK(info.st_mode)) {
    node.kind = oci::EntryKind::symbolic_link;
    node.mode = 0777;
    node.link = TRY(read_link(path));
  } else if (S_ISREG(info.st_mode)) {
    node.mode = (info.st_mode & S_IXUSR) != 0 ? 0755 : 0644;
    node.size = static_cast<std::uint64_t>(info.st_size);
    node.file = path;
  } else {
    return fail(ErrorCode::invalid_argument, "a socket, a device or a pipe can't be copied into an image", path.string(), "remove it, or name it in .dockerignore");
  }
  return node;
}

std::string entry_path(const std::string& folder, const std::string& name) { return folder.empty() ? name : folder + "/" + name; }

}  // namespace

std::optional<std::string> inside(std::string_view path) {
  std::string out;
  while (!path.empty()) {
    const auto end = std::min(path.find('/'), path.size());
    const auto part = path.substr(0, end);
    path.remove_prefix(std::min(end + 1, path.size()));
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      if (out.empty()) return std::nullopt;
      const auto slash = out.rfind('/');
      out.resize(slash == out.npos ? 0 : slash);
      continue;
    }
    out += (out.empty() ? "" : "/") + std::string(part);
  }
  return out;
}

Result<Context> Context::open(const fs::path& folder, const fs::path& recipe) {
  std::error_code error;
  const fs::path real = fs::canonical(folder, error);
  if (error || !is_folder(real)) return fail(ErrorCode::not_found, "the folder to build from is not there", folder.string());
  Context context(real);
  for (const fs::path& rules : {fs::path(recipe.string() + ".dockerignore"), real / ".dockerignore"}) {
    if (!is_plain_file(rules)) continue;
    context.ignore_ = IgnoreRules::parse(TRY(read_text_file(rules, 1 << 20)));
    break;
  }
  return context;
}

Result<std::vector<FoundSource>> Context::find(const std::string& source) const {
  const auto clean = inside(source);
  if (!clean) return fail(ErrorCode::gate_refused, "a source outside of the folder that is built from: " + source, folder_.string(), "copy the file into the folder, or build from a folder above");
  std::vector<std::string> paths = {*clean};
  if (is_pattern(*clean)) paths = TRY(expand(*clean));
  std::vector<FoundSource> found;
  for (const auto& path : paths) found.push_back(TRY(take(path)));
  if (found.empty()) return fail(ErrorCode::not_found, "nothing in the folder fits " + source, folder_.string(), "check the pattern, and .dockerignore");
  return found;
}

Result<std::vector<std::string>> Context::expand(const std::string& pattern) const {
  auto paths = TRY(paths_that_fit(pattern, [&](const std::string& folder) -> Result<std::vector<std::string>> {
    const auto info = look_at(folder_ / folder);
    if (!info || !S_ISDIR(info->st_mode)) return std::vector<std::string>{};
    return list_folder(folder_ / folder);
  }));
  std::erase_if(paths, [&](const std::string& path) { return ignore_.ignores(path); });
  return paths;
}

Result<FoundSource> Context::take(const std::string& path) const {
  std::error_code error;
  if (!is_there(folder_ / path)) return fail(ErrorCode::not_found, "there is no " + path, folder_.string(), "check the name; it is taken from the folder that is built from");
  if (!path.empty() && ignore_.ignores(path) && !ignore_.has_exceptions()) return fail(ErrorCode::not_found, path + " is left out by .dockerignore", folder_.string(), "take it back in with a line of !" + path);
  // A source that is a link, or lies below one, is what the link leads to; where that is outside of the folder, nothing is read.
  const fs::path real = fs::canonical(folder_ / path, error);
  if (error) return fail(ErrorCode::not_found, path + " is a link to nothing", folder_.string());
  const std::string relative = real.lexically_relative(folder_).string();
  if (relative == ".." || relative.starts_with("../") || relative.empty()) {
    return fail(ErrorCode::gate_refused, path + " is a link that leads out of the folder that is built from", folder_.string(), "put the file itself there");
  }
  FoundSource source;
  source.name = fs::path(path).filename().string();
  const auto info = TRY(look_at(real));
  source.is_folder = S_ISDIR(info.st_mode);
  if (source.is_folder) {
    TRY(walk(real, "", relative == "." ? "" : relative, 0, source.entries));
  } else {
    if (ignore_.ignores(path)) return fail(ErrorCode::not_found, path + " is left out by .dockerignore", folder_.string(), "take it back in with a line of !" + path);
    auto node = TRY(node_of(real, info));
    source.entries.push_back({"", std::move(node)});
  }
  return source;
}

Status Context::walk(const fs::path& here, const std::string& below, const std::string& path, int depth, std::vector<FoundEntry>& into) const {
  if (depth > kFolderDepthMax) return fail(ErrorCode::limit_exceeded, "folders nested too deep", here.string());
  for (const auto& name : TRY(list_folder(here))) {
    const std::string in_context = entry_path(path, name), in_source = entry_path(below, name);
    const auto info = TRY(look_at(here / name));
    const bool ignored = ignore_.ignores(in_context);
    if (ignored && !(S_ISDIR(info.st_mode) && ignore_.has_exceptions())) continue;
    if (into.size() >= kEntriesMax) return fail(ErrorCode::limit_exceeded, "a folder with too many files", here.string(), "name what is not needed in .dockerignore");
    if (!ignored) {
      auto node = TRY(node_of(here / name, info));
      into.push_back({in_source, std::move(node)});
    }
    if (S_ISDIR(info.st_mode)) TRY(walk(here / name, in_source, in_context, depth + 1, into));
  }
  return {};
}

}  // namespace redoubt::stages::image::recipe
