// SPDX-License-Identifier: Apache-2.0
//
// Where things lie in a ledger's folder: the C2SP tlog-tiles layout (https://c2sp.org/tlog-tiles; docs/formats/ledger.md).
#pragma once

#include <string>
#include <vector>

#include "base/bytes.h"

namespace redoubt::ledger {

inline constexpr std::uint64_t kTileWidth = 256;       // hashes in a full tile, entries in a full bundle
inline constexpr std::size_t kEntryBytesMax = 65'535;  // an entry's length is a uint16
inline constexpr std::size_t kBundleBytesMax = kTileWidth * (2 + kEntryBytesMax);
inline constexpr const char* kCheckpointName = "checkpoint";
inline constexpr const char* kLockName = "lock";

// "tile/<level>/<index>" with ".p/<width>" unless the tile is full; `width` is 1 to 256.
std::string tile_path(unsigned level, std::uint64_t index, std::uint64_t width);
std::string bundle_path(std::uint64_t index, std::uint64_t width);

// Every tile file of a ledger of that size, the right-hand partial ones included.
struct TileName {
  unsigned level = 0;
  std::uint64_t index = 0, width = 0;
};
std::vector<TileName> tiles_of(std::uint64_t size);
// How many levels of tiles a ledger of that size has.
unsigned tile_levels(std::uint64_t size);

void append_to_bundle(Bytes& bundle, ByteView entry);
// The entries of a bundle, as views into it; tampered unless it is exactly `count` entries.
Result<std::vector<ByteView>> split_bundle(ByteView bundle, std::uint64_t count, std::string_view where);

Bytes encode_tile(const std::vector<Digest>& hashes);
// tampered unless the file is exactly `width` hashes.
Result<std::vector<Digest>> decode_tile(ByteView bytes, std::uint64_t width, std::string_view where);

}  // namespace redoubt::ledger
