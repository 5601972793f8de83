// SPDX-License-Identifier: Apache-2.0
#include "stages/image/oci/tree.h"

#include <deque>

namespace redoubt::stages::image::oci {
namespace {

constexpr int kLinksMax = 40;  // as the kernel follows

std::deque<std::string> parts_of(std::string_view path) {
  std::deque<std::string> parts;
  while (!path.empty()) {
    const auto end = std::min(path.find('/'), path.size());
    if (end > 0) parts.emplace_back(path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return parts;
}

}  // namespace

const TreeNode* ImageTree::find(const std::string& path) const {
  if (path.empty()) return &root_;
  const auto found = nodes_.find(path);
  return found == nodes_.end() ? nullptr : &found->second;
}

Result<std::string> ImageTree::resolve(const std::string& path, Last last) const {
  std::deque<std::string> open = parts_of(path);
  std::string done;
  int links = 0;
  while (!open.empty()) {
    const std::string part = std::move(open.front());
    open.pop_front();
    if (part == ".") continue;
    if (part == "..") {
      const auto slash = done.rfind('/');
      done.resize(slash == done.npos ? 0 : slash);
      continue;
    }
    const std::string next = done.empty() ? part : done + "/" + part;
    const auto* node = find(next);
    if (node == nullptr || node->kind != EntryKind::symbolic_link || (open.empty() && last == Last::keep)) {
      done = next;
      continue;
    }
    if (++links > kLinksMax) return fail(ErrorCode::invalid_argument, "links of the image that go round", path);
    if (node->link.starts_with('/')) done.clear();
    auto target = parts_of(node->link);
    open.insert(open.begin(), target.begin(), target.end());
  }
  return done;
}

std::pair<ImageTree::Iterator, ImageTree::Iterator> ImageTree::below(const std::string& path) const {
  if (path.empty()) return {nodes_.begin(), nodes_.end()};
  return {nodes_.lower_bound(path + "/"), nodes_.lower_bound(path + "0")};  // '0' follows '/'
}

void ImageTree::remove(const std::string& path) {
  const auto [first, end] = below(path);
  nodes_.erase(first, end);
  if (!path.empty()) nodes_.erase(path);
}

void ImageTree::put(const std::string& path, TreeNode node) {
  if (path.empty()) {
    if (node.kind == EntryKind::folder) root_ = std::move(node);
    return;
  }
  if (node.kind != EntryKind::folder) remove(path);
  nodes_.insert_or_assign(path, std::move(node));
}

// A layer need not know that a folder on the way is a link of the layers below it: who unpacks them follows it.
Status ImageTree::apply(const LayerEntry& entry, int layer) {
  const std::string path = TRY(resolve(entry.path, entry.kind == EntryKind::opaque ? Last::follow : Last::keep));
  if (entry.kind == EntryKind::whiteout) {
    if (!path.empty()) remove(path);
    return {};
  }
  if (entry.kind == EntryKind::opaque) {
    // Hides what is in the layers below, not what its own layer named before it.
    const auto [first, end] = below(path);
    for (auto at = nodes_.find(first == end ? "" : first->first); at != nodes_.end() && at != end;) {
      at = at->second.layer == layer ? std::next(at) : nodes_.erase(at);
    }
    return {};
  }
  TreeNode node{entry.kind, entry.mode, entry.uid, entry.gid, entry.link, entry.size, layer, entry.path, layer};
  if (entry.kind == EntryKind::hard_link) {
    const auto* target = find(TRY(resolve(entry.link, Last::keep)));
    if (target == nullptr || target->kind == EntryKind::folder) return fail(ErrorCode::invalid_argument, "a hard link to what isn't there", entry.path);
    node = *target;
    node.layer = layer;
  }
  put(path, std::move(node));
  return {};
}

}  // namespace redoubt::stages::image::oci
