// SPDX-License-Identifier: Apache-2.0
#include "ledger/layout.h"

#include <fmt/format.h>

#include "base/check.h"

namespace redoubt::ledger {
namespace {

// 1234067 is "x001/x234/067".
std::string index_path(std::uint64_t index) {
  std::string path = fmt::format("{:03}", index % 1000);
  for (index /= 1000; index > 0; index /= 1000) path = fmt::format("x{:03}/{}", index % 1000, path);
  return path;
}

std::string suffix_of(std::uint64_t width) {
  CHECK(width > 0 && width <= kTileWidth);
  return width == kTileWidth ? "" : fmt::format(".p/{}", width);
}

}  // namespace

std::string tile_path(unsigned level, std::uint64_t index, std::uint64_t width) {
  return fmt::format("tile/{}/{}{}", level, index_path(index), suffix_of(width));
}

std::string bundle_path(std::uint64_t index, std::uint64_t width) {
  return fmt::format("tile/entries/{}{}", index_path(index), suffix_of(width));
}

std::vector<TileName> tiles_of(std::uint64_t size) {
  std::vector<TileName> tiles;
  for (unsigned level = 0; level < tile_levels(size); ++level) {
    const std::uint64_t hashes = size >> (8 * level);
    for (std::uint64_t index = 0; index < hashes / kTileWidth; ++index) tiles.push_back({level, index, kTileWidth});
    if (hashes % kTileWidth != 0) tiles.push_back({level, hashes / kTileWidth, hashes % kTileWidth});
  }
  return tiles;
}

unsigned tile_levels(std::uint64_t size) {
  unsigned levels = 0;
  for (; size > 0; size >>= 8) ++levels;
  return levels;
}

void append_to_bundle(Bytes& bundle, ByteView entry) {
  CHECK(entry.size() <= kEntryBytesMax);
  bundle.push_back(static_cast<std::uint8_t>(entry.size() >> 8));
  bundle.push_back(static_cast<std::uint8_t>(entry.size() & 0xFF));
  bundle.insert(bundle.end(), entry.begin(), entry.end());
}

Result<std::vector<ByteView>> split_bundle(ByteView bundle, std::uint64_t count, std::string_view where) {
  std::vector<ByteView> entries;
  while (!bundle.empty()) {
    const std::size_t length = bundle.size() < 2 ? bundle.size() : static_cast<std::size_t>(bundle[0]) << 8 | bundle[1];
    if (bundle.size() < 2 + length)
      return fail(ErrorCode::tampered, "the bundle ends inside of an entry", std::string(where));
    entries.push_back(bundle.subspan(2, length));
    bundle = bundle.subspan(2 + length);
  }
  if (entries.size() != count) {
    return fail(ErrorCode::tampered, fmt::format("the bundle has {} entries and not {}", entries.size(), count),
                std::string(where));
  }
  return entries;
}

Bytes encode_tile(const std::vector<Digest>& hashes) {
  Bytes bytes;
  bytes.reserve(hashes.size() * 32);
  for (const auto& hash : hashes) bytes.insert(bytes.end(), hash.value.begin(), hash.value.end());
  return bytes;
}

Result<std::vector<Digest>> decode_tile(ByteView bytes, std::uint64_t width, std::string_view where) {
  if (bytes.size() != width * 32) {
    return fail(ErrorCode::tampered, fmt::format("the tile is {} bytes long and not {}", bytes.size(), width * 32),
                std::string(where));
  }
  std::vector<Digest> hashes(width);
  for (std::size_t i = 0; i < width; ++i) std::copy_n(bytes.begin() + 32 * i, 32, hashes[i].value.begin());
  return hashes;
}

}  // namespace redoubt::ledger
