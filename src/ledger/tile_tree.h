// SPDX-License-Identifier: Apache-2.0
//
// A ledger's tree read from its tiles, each checked before it is used: the tiles on the right-hand edge together give the
// root, and every full tile is checked against the hash that the tile above it holds. So whatever this answers belongs to
// the signed root; a changed tile is tampered and named.
#pragma once

#include <filesystem>
#include <map>

#include "ledger/layout.h"
#include "ledger/merkle.h"

namespace redoubt::ledger {

// The partial tile of every level (an empty one where a level has none): all that appending needs of the tree.
struct Edge {
  std::uint64_t size = 0;
  std::vector<std::vector<Digest>> tiles;

  // Adds a leaf. Each full tile that this completes is given to `on_full` (level, index, hashes) from the lowest level up.
  template <class OnFull>
  void push(const Digest& leaf, OnFull&& on_full);
  Digest root() const;
  std::uint64_t width(unsigned level) const { return level < tiles.size() ? tiles[level].size() : 0; }
};

class TileTree {
 public:
  // Reads the edge of the tree under `folder` and checks it against the head's root.
  static Result<TileTree> open(std::filesystem::path folder, const TreeHead& head);

  const TreeHead& head() const { return head_; }
  const Edge& edge() const { return edge_; }
  // The hash of a complete subtree of this tree. Not safe to call from several threads: full tiles are kept in a cache.
  Result<Digest> node(unsigned level, std::uint64_t index);
  NodeReader reader() {
    return [this](unsigned level, std::uint64_t index) { return node(level, index); };
  }
  // The hashes of one tile, full or on the edge.
  Result<std::vector<Digest>> tile(unsigned level, std::uint64_t index);

 private:
  TileTree(std::filesystem::path folder, TreeHead head, Edge edge)
      : folder_(std::move(folder)), head_(head), edge_(std::move(edge)) {}
  std::uint64_t edge_index(unsigned level) const { return level < 8 ? head_.size >> (8 * level) >> 8 : 0; }

  std::filesystem::path folder_;
  TreeHead head_;
  Edge edge_;
  std::map<std::pair<unsigned, std::uint64_t>, std::vector<Digest>> cache_;
};

// Reads a tile file; one that is missing or of another size is tampered.
Result<std::vector<Digest>> read_tile(const std::filesystem::path& folder, const TileName& name);
// Reads a bundle file; missing is tampered.
Result<Bytes> read_bundle(const std::filesystem::path& folder, std::uint64_t index, std::uint64_t width);

template <class OnFull>
void Edge::push(const Digest& leaf, OnFull&& on_full) {
  Digest hash = leaf;
  ++size;
  for (unsigned level = 0;; ++level) {
    if (level == tiles.size()) tiles.emplace_back();
    auto& tile = tiles[level];
    tile.push_back(hash);
    if (tile.size() < kTileWidth) return;
    on_full(level, (size >> (8 * level) >> 8) - 1, tile);
    hash = root_of_leaves(tile);
    tile.clear();
  }
}

}  // namespace redoubt::ledger
