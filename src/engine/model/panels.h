// SPDX-License-Identifier: Apache-2.0
//
// How bf16 values come into panels of pairs [inputs / 2][32 outputs][2] (packed_products.h), whichever way they lie.
#pragma once

#include <algorithm>
#include <cstring>

#include "engine/model/packed_products.h"

namespace redoubt::engine::model::row {

// A panel whose outputs are rows, `count` of them and `inputs` values each; row_at(o) is where one lies. They are turned as words, some from
// each row at a time. What is beyond them stays as it is.
template <class RowAt>
void pack_outputs(RowAt row_at, std::int64_t count, std::int64_t inputs, bf16* to) {
  constexpr std::int64_t kPairs = 16;
  for (std::int64_t first = 0; first < inputs / 2; first += kPairs)
    for (std::int64_t o = 0; o < count; ++o) {
      const bf16* row = row_at(o);
      for (std::int64_t k = first; k < std::min(first + kPairs, inputs / 2); ++k) std::memcpy(to + (k * kPanel + o) * 2, row + k * 2, 2 * sizeof *to);
    }
}

// One pair of inputs of a panel whose outputs are columns: `columns` of a row and of the next one.
inline void pack_inputs(const bf16* row, const bf16* next, std::int64_t columns, bf16* to) {
  for (std::int64_t o = 0; o < columns; ++o) {
    to[2 * o] = row[o];
    to[2 * o + 1] = next[o];
  }
}

}  // namespace redoubt::engine::model::row
