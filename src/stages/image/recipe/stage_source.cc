// SPDX-License-Identifier: Apache-2.0
//
// What a later stage copies out of an earlier one, or out of another image.
#include <algorithm>

#include "stages/image/recipe/stage.h"

namespace redoubt::stages::image::recipe {
namespace {

// The paths of a tree that a pattern fits; the folders on the way may be links.
Result<std::vector<std::string>> expand(const oci::ImageTree& tree, const std::string& pattern) {
  return paths_that_fit(pattern, [&](const std::string& folder) -> Result<std::vector<std::string>> {
    const std::string real = TRY(tree.resolve(folder));
    std::vector<std::string> names;
    const auto [first, last] = tree.below(real);
    for (auto at = first; at != last; ++at) {
      std::string name = real.empty() ? at->first : at->first.substr(real.size() + 1);
      if (name.find('/') == name.npos) names.push_back(std::move(name));
    }
    return names;
  });
}

Result<FoundSource> take(const oci::ImageTree& tree, const std::string& path) {
  const std::string real = TRY(tree.resolve(path));
  const auto* node = tree.find(real);
  if (node == nullptr) return fail(ErrorCode::not_found, "there is no /" + path + " in that stage");
  FoundSource source;
  source.name = path.substr(path.rfind('/') + 1);
  source.is_folder = node->kind == oci::EntryKind::folder;
  if (!source.is_folder) {
    source.entries.push_back({"", *node});
    return source;
  }
  const auto [first, last] = tree.below(real);
  for (auto at = first; at != last; ++at) source.entries.push_back({real.empty() ? at->first : at->first.substr(real.size() + 1), at->second});
  return source;
}

}  // namespace

Result<std::vector<FoundSource>> Stage::find(const std::string& source, const std::filesystem::path& folder, Progress& progress) const {
  const auto clean = inside(source);
  if (!clean) return fail(ErrorCode::gate_refused, "a source outside of the image: " + source);
  std::vector<std::string> paths = {*clean};
  if (is_pattern(*clean)) paths = TRY(expand(tree_, *clean));
  std::vector<FoundSource> found;
  for (const auto& path : paths) found.push_back(TRY(take(tree_, path)));
  if (found.empty()) return fail(ErrorCode::not_found, "nothing in that stage fits " + source);
  // Files of layers are taken out together, one pass over each layer.
  std::map<std::string, std::filesystem::path> wanted;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const std::string real = TRY(tree_.resolve(paths[i]));
    for (auto& entry : found[i].entries) {
      if (entry.node.kind != oci::EntryKind::file || entry.node.contents_layer < 0) continue;
      const std::string path = entry.path.empty() ? real : real.empty() ? entry.path : real + "/" + entry.path;
      entry.node.file = wanted.try_emplace(path, folder / std::to_string(wanted.size())).first->second;
    }
  }
  if (!wanted.empty()) TRY(oci::extract(*base_->images, base_->image, wanted, progress));
  return found;
}

}  // namespace redoubt::stages::image::recipe
