// SPDX-License-Identifier: Apache-2.0
//
// Products of small fp32 matrices that lie in the caches, as attention makes them head by head. Each sum is in the order of the depth, whatever rows
// it is computed with.
#pragma once

#include <cstdint>

#include "engine/model/vectorised.h"

namespace redoubt::engine::model::row {

inline constexpr std::int64_t kLanes = 16;  // columns come in multiples of it
inline std::int64_t padded(std::int64_t columns) { return (columns + kLanes - 1) / kLanes * kLanes; }

// A matrix whose element (r, k) lies at first[r * row + k * step]: step 1, or row 1 for a transposed one.
struct TileView {
  const float* first;
  std::int64_t row, step;
};

// c [rows, columns] of a [rows, depth] and b [depth, columns]. `columns` is a multiple of kLanes; rows of b and c lie `b_row` and `c_row` apart.
struct TileProduct {
  TileView a;
  const float* b;
  std::int64_t b_row, rows, depth, columns;
  float* c;
  std::int64_t c_row;
};

// c = a b, or c += a b.
void multiply_tile(Vectors vectors, const TileProduct& of);
void add_tile(Vectors vectors, const TileProduct& of);

// to [columns, rows] = from [rows, columns]; rows of them lie `from_row` and `to_row` apart.
void transpose_tile(const float* from, std::int64_t from_row, std::int64_t rows, std::int64_t columns, float* to, std::int64_t to_row);

}  // namespace redoubt::engine::model::row
