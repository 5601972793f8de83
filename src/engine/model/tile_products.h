// SPDX-License-Identifier: Apache-2.0
//
// Products of small fp32 matrices that lie in the caches, as attention makes them head by head. One version a vector width, chosen by
// the loader (AVX-512, AVX2, plain).
#pragma once

#include <cstdint>

namespace redoubt::engine::model::row {

inline constexpr std::int64_t kLanes = 16;  // columns come in multiples of it
inline std::int64_t padded(std::int64_t columns) { return (columns + kLanes - 1) / kLanes * kLanes; }

// A matrix whose element (r, k) lies at first[r * row + k * step]: step 1, or row 1 for a transposed one.
struct TileView {
  const float* first;
  std::int64_t row, step;
};

// c [rows, columns] = a [rows, depth] b [depth, columns], or c += it. `columns` is a multiple of kLanes; rows of b and c lie `b_row`
// and `c_row` apart.
void multiply_tile(const TileView& a, const float* b, std::int64_t b_row, std::int64_t rows, std::int64_t depth, std::int64_t columns, float* c,
                   std::int64_t c_row);
void add_tile(const TileView& a, const float* b, std::int64_t b_row, std::int64_t rows, std::int64_t depth, std::int64_t columns, float* c, std::int64_t c_row);

// to [columns, rows] = from [rows, columns]; rows of them lie `from_row` and `to_row` apart.
void transpose_tile(const float* from, std::int64_t from_row, std::int64_t rows, std::int64_t columns, float* to, std::int64_t to_row);

}  // namespace redoubt::engine::model::row
