// SPDX-License-Identifier: Apache-2.0
//
// What an image holds once its layers lie over each other: names, kinds, modes, owners. Links are followed with the image's root as
// "/", as they are when the image runs.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "image_layer/layer.h"

namespace redoubt::stages::image::oci {

using image_layer::EntryKind;
using image_layer::LayerEntry;
using image_layer::LayerLimits;

struct TreeNode {
  EntryKind kind = EntryKind::file;  // file, folder, symbolic_link or special
  unsigned mode = 0644, uid = 0, gid = 0;
  std::string link = {};
  std::uint64_t size = 0;
  int layer = -1;                    // the layer that named it last, from 0
  std::string layer_path = {};       // where a file's contents are in that layer; another name than its own for a hard link
  int contents_layer = -1;
  std::filesystem::path file = {};   // a file that is in no layer yet: its contents are there, or in `contents`
  std::string contents = {};
};

class ImageTree {
 public:
  // `path` as LayerEntry has it; "" is the root, which is always a folder. Null where nothing is.
  const TreeNode* find(const std::string& path) const;
  // The path without links: every part that is a link is replaced by where it leads. What is not there stays as it is written.
  // invalid_argument for links that go round. `follow_last`: whether the last part is followed, too.
  enum class Last { follow, keep };
  Result<std::string> resolve(const std::string& path, Last last = Last::follow) const;
  // Puts a node there; what lies below a name that was a folder and is none any more goes.
  void put(const std::string& path, TreeNode node);
  void remove(const std::string& path);  // with all below
  // One entry of layer number `layer`, in the order of the layers. invalid_argument for a hard link to nothing.
  Status apply(const LayerEntry& entry, int layer);

  const std::map<std::string, TreeNode>& nodes() const { return nodes_; }  // without the root
  // The nodes below a folder, in order: a half-open range.
  using Iterator = std::map<std::string, TreeNode>::const_iterator;
  std::pair<Iterator, Iterator> below(const std::string& path) const;

 private:
  std::map<std::string, TreeNode> nodes_;
  TreeNode root_{EntryKind::folder, 0755};
};

}  // namespace redoubt::stages::image::oci
