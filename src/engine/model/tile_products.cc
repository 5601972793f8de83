// SPDX-License-Identifier: Apache-2.0
#include "engine/model/tile_products.h"

#include <cstring>

#include "engine/model/lanes.h"
#include "engine/model/vectorised.h"

namespace redoubt::engine::model::row {
namespace {

// `rows` rows of 16 columns stay in registers while the depth passes by.
template <int rows, bool add>
REDOUBT_INLINE void block(const TileView& a, const float* b, std::int64_t b_row, std::int64_t depth, float* c, std::int64_t c_row) {
  Floats sums[rows] = {};
  if (add)
    for (int r = 0; r < rows; ++r) read(c + r * c_row, sums[r]);
  for (std::int64_t k = 0; k < depth; ++k) {
    Floats at;
    read(b + k * b_row, at);
    for (int r = 0; r < rows; ++r) sums[r] += a.first[r * a.row + k * a.step] * at;
  }
  for (int r = 0; r < rows; ++r) std::memcpy(c + r * c_row, &sums[r], sizeof(Floats));
}

template <bool add>
REDOUBT_INLINE void all(TileView a, const float* b, std::int64_t b_row, std::int64_t rows, std::int64_t depth, std::int64_t columns, float* c,
                        std::int64_t c_row) {
  for (; rows >= 8; rows -= 8, a.first += 8 * a.row, c += 8 * c_row)
    for (std::int64_t n = 0; n < columns; n += kLanes) block<8, add>(a, b + n, b_row, depth, c + n, c_row);
  for (; rows >= 4; rows -= 4, a.first += 4 * a.row, c += 4 * c_row)
    for (std::int64_t n = 0; n < columns; n += kLanes) block<4, add>(a, b + n, b_row, depth, c + n, c_row);
  for (; rows > 0; --rows, a.first += a.row, c += c_row)
    for (std::int64_t n = 0; n < columns; n += kLanes) block<1, add>(a, b + n, b_row, depth, c + n, c_row);
}

}  // namespace

REDOUBT_VECTORISED void multiply_tile(const TileView& a, const float* b, std::int64_t b_row, std::int64_t rows, std::int64_t depth, std::int64_t columns,
                                      float* c, std::int64_t c_row) {
  all<false>(a, b, b_row, rows, depth, columns, c, c_row);
}

REDOUBT_VECTORISED void add_tile(const TileView& a, const float* b, std::int64_t b_row, std::int64_t rows, std::int64_t depth, std::int64_t columns, float* c,
                                 std::int64_t c_row) {
  all<true>(a, b, b_row, rows, depth, columns, c, c_row);
}

REDOUBT_VECTORISED void transpose_tile(const float* from, std::int64_t from_row, std::int64_t rows, std::int64_t columns, float* to, std::int64_t to_row) {
  for (std::int64_t begin = 0; begin < rows; begin += kLanes) {
    const std::int64_t end = begin + kLanes < rows ? begin + kLanes : rows;
    for (std::int64_t c = 0; c < columns; ++c)
      for (std::int64_t r = begin; r < end; ++r) to[c * to_row + r] = from[r * from_row + c];
  }
}

}  // namespace redoubt::engine::model::row
