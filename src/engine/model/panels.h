// SPDX-License-Identifier: Apache-2.0
//
// How bf16 values come into panels of pairs [inputs / 2][32 outputs][2] (packed_products.h), whichever way they lie.
#pragma once

#include <cstddef>

#include "engine/model/packed_products.h"

namespace redoubt::engine::model::row {

// A panel of `width` outputs (a multiple of 16), of which `count` are rows of `inputs` values each. What is beyond them stays as it is.
void pack_row_outputs(const bf16* const* rows, std::int64_t count, std::int64_t inputs, bf16* to, std::int64_t width = kPanel);

// The same of up to 32 outputs, where row_at(o) is where a row lies.
template <class RowAt>
void pack_outputs(RowAt row_at, std::int64_t count, std::int64_t inputs, bf16* to) {
  const bf16* rows[kPanel];
  for (std::int64_t o = 0; o < count; ++o) rows[o] = row_at(o);
  pack_row_outputs(rows, count, inputs, to);
}

// 16 rows of 16 words become 16 columns: the words of one place lie side by side, those of the next `step` bytes on. Needs avx512.
void turn_words(const void* const* rows, std::byte* to, std::int64_t step);

// One pair of inputs of a panel of `width` outputs (16 or 32) that are columns: `columns` of a row and of the next one, which may be null. What is
// missing is 0.
void pack_inputs(const bf16* row, const bf16* next, std::int64_t columns, std::int64_t width, bf16* to);

// A whole panel of those, 32 wide: a matrix of `inputs` rows (an even number) that lie `stride` apart.
void pack_input_rows(const bf16* from, std::int64_t stride, std::int64_t inputs, std::int64_t columns, bf16* to);

inline std::int64_t panels_of(std::int64_t outputs) { return (outputs + kPanel - 1) / kPanel; }

// Of a large product: they stay near while every panel takes them.
inline constexpr std::int64_t kRowsAtOnce = 256;

}  // namespace redoubt::engine::model::row
