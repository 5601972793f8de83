// SPDX-License-Identifier: Apache-2.0
#include "ledger/tile_tree.h"

#include <fmt/format.h>

#include "base/check.h"
#include "base/file.h"

namespace redoubt::ledger {
namespace {

constexpr std::size_t kCachedTilesMax = 1024;  // 8 MiB

// The hash over 2^(level % 8) neighbours of a tile.
Digest node_in_tile(const std::vector<Digest>& tile, unsigned level, std::uint64_t index) {
  const auto height = level % 8;
  const auto first = static_cast<std::size_t>((index << height) % kTileWidth);
  const auto count = std::size_t{1} << height;
  CHECK(first + count <= tile.size());
  return root_of_leaves(
      {tile.begin() + static_cast<std::ptrdiff_t>(first), tile.begin() + static_cast<std::ptrdiff_t>(first + count)});
}

// Missing evidence is tampered evidence: an entry that the checkpoint counts was there.
Error as_tampered(Error error) {
  if (error.code == ErrorCode::not_found || error.code == ErrorCode::limit_exceeded ||
      error.code == ErrorCode::invalid_argument) {
    error.message =
        error.code == ErrorCode::not_found ? "a file of the ledger is missing" : "a file of the ledger was changed";
    error.code = ErrorCode::tampered;
  }
  return error;
}

Result<Bytes> read_evidence(const std::filesystem::path& path, std::uint64_t bytes_max) {
  auto bytes = read_file(path, bytes_max);
  if (!bytes) return fail(as_tampered(std::move(bytes.error())));
  return bytes;
}

}  // namespace

Digest Edge::root() const {
  const auto root = root_at(size, [this](unsigned level, std::uint64_t index) -> Result<Digest> {
    return node_in_tile(tiles[level / 8], level, index);
  });
  CHECK(root.has_value());
  return *root;
}

Result<std::vector<Digest>> read_tile(const std::filesystem::path& folder, const TileName& name) {
  const auto path = tile_path(name.level, name.index, name.width);
  return decode_tile(TRY(read_evidence(folder / path, kTileWidth * 32)), name.width, path);
}

Result<Bytes> read_bundle(const std::filesystem::path& folder, std::uint64_t index, std::uint64_t width) {
  return read_evidence(folder / bundle_path(index, width), kBundleBytesMax);
}

Result<TileTree> TileTree::open(std::filesystem::path folder, const TreeHead& head) {
  Edge edge{.size = head.size, .tiles = std::vector<std::vector<Digest>>(tile_levels(head.size))};
  for (unsigned level = 0; level < edge.tiles.size(); ++level) {
    const std::uint64_t hashes = head.size >> (8 * level);
    if (hashes % kTileWidth == 0) continue;
    edge.tiles[level] = TRY(read_tile(folder, {level, hashes / kTileWidth, hashes % kTileWidth}));
  }
  if (edge.root() != head.root) {
    return fail(ErrorCode::tampered, "the newest tiles of the ledger do not give the root that its checkpoint signs",
                folder.string());
  }
  return TileTree(std::move(folder), head, std::move(edge));
}

Result<std::vector<Digest>> TileTree::tile(unsigned level, std::uint64_t index) {
  CHECK(level < edge_.tiles.size() && index <= edge_index(level));
  if (index == edge_index(level)) return edge_.tiles[level];
  if (const auto found = cache_.find({level, index}); found != cache_.end()) return found->second;
  auto hashes = TRY(read_tile(folder_, {level, index, kTileWidth}));
  const auto above = TRY(tile(level + 1, index / kTileWidth));
  if (root_of_leaves(hashes) != above[index % kTileWidth]) {
    return fail(ErrorCode::tampered, "a tile of the ledger was changed", tile_path(level, index, kTileWidth));
  }
  if (cache_.size() >= kCachedTilesMax) cache_.clear();
  cache_[{level, index}] = hashes;
  return hashes;
}

Result<Digest> TileTree::node(unsigned level, std::uint64_t index) {
  return node_in_tile(TRY(tile(level / 8, (index << (level % 8)) / kTileWidth)), level, index);
}

}  // namespace redoubt::ledger
