// SPDX-License-Identifier: Apache-2.0
//
// CRC-32 (ISO 3309, as zip and gzip use it) at the memory's speed where the processor multiplies without carry; else zlib's.
#pragma once

#include "base/stream.h"

namespace redoubt::model_scan {

// Goes on from `crc`, which is 0 at the start.
std::uint32_t crc32(std::uint32_t crc, ByteView bytes);

// Of a part of a file.
Result<std::uint32_t> crc32_of(const RandomAccess& object, std::uint64_t begin, std::uint64_t bytes);

}  // namespace redoubt::model_scan
