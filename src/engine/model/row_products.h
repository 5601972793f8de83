// SPDX-License-Identifier: Apache-2.0
//
// Rows of a matrix times one vector, for decoding: bound by how fast the rows are read, so they are read once, in the form in which
// they are stored, and summed in fp32. One version a vector width, chosen by the loader (AVX-512, AVX2, plain).
#pragma once

#include <cstdint>

#include "engine/model/row_math.h"

namespace redoubt::engine::model::row {

inline constexpr std::int64_t kInt4Group = 32;  // values that share a scale

// out[r] = sum over i of x[i] * matrix[r, i] for `rows` rows of `inputs` values that lie one behind the other.
void multiply_rows(const float* x, const float* matrix, std::int64_t inputs, std::int64_t rows, float* out);
void multiply_rows(const float* x, const bf16* matrix, std::int64_t inputs, std::int64_t rows, float* out);

// Groups of 32 values: 16 bytes, the low halves the first 16 values and the high halves the others, each value + 8; and a scale.
// group_sums: the sum of x over each group. `inputs` is a multiple of 32.
void multiply_rows_int4(const float* x, const float* group_sums, const std::uint8_t* matrix, const bf16* scales, std::int64_t inputs, std::int64_t rows, float* out);
// out = sum over r of factors[r] * matrix[r], for `rows` rows of n values.
void sum_rows(const float* factors, const float* matrix, std::int64_t rows, std::int64_t n, float* out);
void sum_rows(const float* factors, const bf16* matrix, std::int64_t rows, std::int64_t n, float* out);
void sum_groups(const float* x, std::int64_t inputs, float* group_sums);

}  // namespace redoubt::engine::model::row
