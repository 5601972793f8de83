// SPDX-License-Identifier: Apache-2.0
//
// Sixteen values side by side; the compiler makes of them what the machine has.
#pragma once

#include <cstdint>
#include <cstring>

#include "engine/model/vectorised.h"

namespace redoubt::engine::model::row {

using Floats = float __attribute__((vector_size(64)));
using Words = std::uint32_t __attribute__((vector_size(64)));
using Halves = std::uint16_t __attribute__((vector_size(32)));

// Values side by side, as many as a register holds.
template <int bytes>
struct Lanes;
#define REDOUBT_LANES(bytes)                                        \
  template <>                                                       \
  struct Lanes<bytes> {                                             \
    using Floats = float __attribute__((vector_size(bytes)));       \
    using Words = std::uint32_t __attribute__((vector_size(bytes))); \
    static constexpr int count = bytes / 4;                         \
  };
REDOUBT_LANES(16)
REDOUBT_LANES(32)
REDOUBT_LANES(64)
#undef REDOUBT_LANES

// Rows that are computed together: as many as there are, in blocks of like size of at most `most`, so that what they share is read seldom
// and none of them is much shorter than the others.
template <class Block>
REDOUBT_INLINE void for_blocks(std::int64_t rows, std::int64_t most, Block block) {
  const auto blocks = (rows + most - 1) / most;
  for (std::int64_t i = 0; i < blocks; ++i) block(rows * i / blocks, rows * (i + 1) / blocks);
}

REDOUBT_INLINE void read(const float* from, Floats& to) { std::memcpy(&to, from, sizeof to); }
REDOUBT_INLINE void read(const std::uint16_t* from, Floats& to) {
  Halves halves;
  std::memcpy(&halves, from, sizeof halves);
  const Words words = __builtin_convertvector(halves, Words) << 16;
  std::memcpy(&to, &words, sizeof to);
}

}  // namespace redoubt::engine::model::row
