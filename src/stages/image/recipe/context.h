// SPDX-License-Identifier: Apache-2.0
//
// The folder that a build takes its files from. Nothing outside of it is ever read: not through "..", not through a link, whoever
// wrote the recipe. What .dockerignore names is not there. Modes are reduced to what every machine keeps (0755 for folders and what
// its owner may execute, else 0644); owners, times, extended attributes and hard links are dropped.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "stages/image/oci/tree.h"
#include "stages/image/recipe/glob.h"

namespace redoubt::stages::image::recipe {

// A file, a folder or a link, and its name below what was asked for; "" is that itself.
struct FoundEntry {
  std::string path;
  oci::TreeNode node;
};
// One source of a COPY: what it is called where it is not a folder, and what it holds.
struct FoundSource {
  std::string name;     // its last part
  bool is_folder = false;
  std::vector<FoundEntry> entries;  // of a folder all that is below it, in order; else the thing itself
};

class Context {
 public:
  // not_found where the folder is none. `recipe` may have a list of its own beside it: "<recipe>.dockerignore" instead of ".dockerignore".
  static Result<Context> open(const std::filesystem::path& folder, const std::filesystem::path& recipe);

  // What a source names, several where it is a pattern. not_found where nothing fits, gate_refused for what lies outside of the
  // folder, invalid_argument for sockets, devices and pipes, limit_exceeded.
  Result<std::vector<FoundSource>> find(const std::string& source) const;
  const std::filesystem::path& folder() const { return folder_; }

 private:
  explicit Context(std::filesystem::path folder) : folder_(std::move(folder)) {}
  Result<std::vector<std::string>> expand(const std::string& pattern) const;
  Result<FoundSource> take(const std::string& path) const;
  Status walk(const std::filesystem::path& here, const std::string& below, const std::string& path, int depth, std::vector<FoundEntry>& into) const;

  std::filesystem::path folder_;  // without links
  IgnoreRules ignore_;
};

// The parts of a path joined again without "." and doubled slashes; nothing for one that climbs out with "..".
std::optional<std::string> inside(std::string_view path);

}  // namespace redoubt::stages::image::recipe
