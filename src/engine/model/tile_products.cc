// SPDX-License-Identifier: Apache-2.0
#include "engine/model/tile_products.h"

#include <cstring>

#include "engine/model/lanes.h"

namespace redoubt::engine::model::row {
namespace {

// `rows` rows of kLanes columns stay in registers while the depth passes by. Each loop over them is unrolled: an array with a variable place lies in
// memory.
template <class L, int rows, bool add>
REDOUBT_INLINE void tile_block(const TileProduct& of, std::int64_t column) {
  constexpr int parts = kLanes / L::count;
  const auto [a, b, b_row, count, depth, columns, c, c_row] = of;
  typename L::Floats sums[rows][parts] = {};
  if constexpr (add) {
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
      for (int p = 0; p < parts; ++p) std::memcpy(&sums[r][p], c + r * c_row + column + p * L::count, sizeof sums[r][p]);
  }
  for (std::int64_t k = 0; k < depth; ++k) {
    typename L::Floats at[parts];
#pragma GCC unroll 4
    for (int p = 0; p < parts; ++p) std::memcpy(&at[p], b + k * b_row + column + p * L::count, sizeof at[p]);
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
      for (int p = 0; p < parts; ++p) sums[r][p] += a.first[r * a.row + k * a.step] * at[p];
  }
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
    for (int p = 0; p < parts; ++p) std::memcpy(c + r * c_row + column + p * L::count, &sums[r][p], sizeof sums[r][p]);
}

// As many rows at once as the registers hold beside what they are multiplied by: 32 of AVX-512, 16 of the others.
template <class L>
constexpr int kRowsOfTile = L::count == 16 ? 8 : L::count == 8 ? 6 : 2;

template <class L, int rows, bool add>
REDOUBT_INLINE void tile_rows(const TileProduct& of) {
  for (std::int64_t column = 0; column < of.columns; column += kLanes) tile_block<L, rows, add>(of, column);
}

#define REDOUBT_ROWS(n) \
  case n: return tile_rows<L, n, add>(some);
template <class L, bool add>
REDOUBT_INLINE void whole_tile(const TileProduct& of) {
  for_blocks(of.rows, kRowsOfTile<L>, [&](std::int64_t begin, std::int64_t end) __attribute__((always_inline)) {
    auto some = of;
    some.a.first += begin * of.a.row;
    some.c += begin * of.c_row;
    if constexpr (kRowsOfTile<L> == 8) switch (end - begin) { REDOUBT_ROWS(7) REDOUBT_ROWS(8) }
    if constexpr (kRowsOfTile<L> > 2) switch (end - begin) { REDOUBT_ROWS(3) REDOUBT_ROWS(4) REDOUBT_ROWS(5) REDOUBT_ROWS(6) }
    switch (end - begin) { REDOUBT_ROWS(1) REDOUBT_ROWS(2) }
  });
}
#undef REDOUBT_ROWS

template <bool add>
REDOUBT_AVX512 void tile_avx512(const TileProduct& of) { whole_tile<Lanes<64>, add>(of); }
template <bool add>
REDOUBT_AVX2 void tile_avx2(const TileProduct& of) { whole_tile<Lanes<32>, add>(of); }
template <bool add>
void tile_plain(const TileProduct& of) { whole_tile<Lanes<16>, add>(of); }

template <bool add>
void tile_by(Vectors vectors, const TileProduct& of) {
  if (vectors >= Vectors::avx512) tile_avx512<add>(of);
  else if (vectors == Vectors::avx2) tile_avx2<add>(of);
  else tile_plain<add>(of);
}

}  // namespace

void multiply_tile(Vectors vectors, const TileProduct& of) { tile_by<false>(vectors, of); }
void add_tile(Vectors vectors, const TileProduct& of) { tile_by<true>(vectors, of); }

REDOUBT_VECTORISED void transpose_tile(const float* from, std::int64_t from_row, std::int64_t rows, std::int64_t columns, float* to, std::int64_t to_row) {
  for (std::int64_t begin = 0; begin < rows; begin += kLanes) {
    const std::int64_t end = begin + kLanes < rows ? begin + kLanes : rows;
    for (std::int64_t c = 0; c < columns; ++c)
      for (std::int64_t r = begin; r < end; ++r) to[c * to_row + r] = from[r * from_row + c];
  }
}

}  // namespace redoubt::engine::model::row
