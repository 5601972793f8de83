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

REDOUBT_INLINE void read(const float* from, Floats& to) { std::memcpy(&to, from, sizeof to); }
REDOUBT_INLINE void read(const std::uint16_t* from, Floats& to) {
  Halves halves;
  std::memcpy(&halves, from, sizeof halves);
  const Words words = __builtin_convertvector(halves, Words) << 16;
  std::memcpy(&to, &words, sizeof to);
}

}  // namespace redoubt::engine::model::row
