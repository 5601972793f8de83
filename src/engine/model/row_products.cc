// SPDX-License-Identifier: Apache-2.0
#include "engine/model/row_products.h"

#include <cstring>

#include "engine/model/lanes.h"
#include "engine/model/vectorised.h"

namespace redoubt::engine::model::row {
namespace {

using Bytes = std::uint8_t __attribute__((vector_size(16)));

constexpr std::int64_t kVectorLanes = 16, kRowsTogether = 4;  // rows at once, so that their sums don't wait for one another

REDOUBT_INLINE float value_of(float value) { return value; }
REDOUBT_INLINE float value_of(std::uint16_t bits) {
  const std::uint32_t word = std::uint32_t{bits} << 16;
  float value;
  std::memcpy(&value, &word, sizeof value);
  return value;
}

REDOUBT_INLINE float total(const Floats& lanes) {
  float halves[8];
  for (int i = 0; i < 8; ++i) halves[i] = lanes[i] + lanes[i + 8];
  for (int width = 4; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) halves[i] += halves[i + width];
  return halves[0];
}

// Each row is summed in the same order wherever it stands in the block.
template <int rows, class T>
REDOUBT_INLINE void multiply_block(const float* x, const T* matrix, std::int64_t inputs, float* out) {
  Floats sums[rows] = {};
  std::int64_t i = 0;
  for (; i + kVectorLanes <= inputs; i += kVectorLanes) {
    Floats at;
    read(x + i, at);
    for (int r = 0; r < rows; ++r) {
      Floats row;
      read(matrix + r * inputs + i, row);
      sums[r] += row * at;
    }
  }
  for (int r = 0; r < rows; ++r) {
    float rest = 0;
    for (auto j = i; j < inputs; ++j) rest += x[j] * value_of(matrix[r * inputs + j]);
    out[r] = total(sums[r]) + rest;
  }
}

template <class T>
REDOUBT_INLINE void multiply_all(const float* x, const T* matrix, std::int64_t inputs, std::int64_t rows, float* out) {
  std::int64_t r = 0;
  for (; r + kRowsTogether <= rows; r += kRowsTogether) multiply_block<kRowsTogether>(x, matrix + r * inputs, inputs, out + r);
  for (; r < rows; ++r) multiply_block<1>(x, matrix + r * inputs, inputs, out + r);
}

template <class T>
REDOUBT_INLINE void sum_all(const float* factors, const T* matrix, std::int64_t rows, std::int64_t n, float* out) {
  std::int64_t i = 0;
  for (; i + kVectorLanes <= n; i += kVectorLanes) {
    Floats sum = {};
    for (std::int64_t r = 0; r < rows; ++r) {
      Floats row;
      read(matrix + r * n + i, row);
      sum += factors[r] * row;
    }
    std::memcpy(out + i, &sum, sizeof sum);
  }
  for (; i < n; ++i) {
    out[i] = 0;
    for (std::int64_t r = 0; r < rows; ++r) out[i] += factors[r] * value_of(matrix[r * n + i]);
  }
}

template <int rows>
REDOUBT_INLINE void multiply_int4_block(const float* x, const float* group_sums, const std::uint8_t* matrix, const std::uint16_t* scales, std::int64_t inputs, float* out) {
  const std::int64_t groups = inputs / kInt4Group;
  Floats sums[rows] = {};
  float offsets[rows] = {};
  for (std::int64_t g = 0; g < groups; ++g) {
    Floats first, second;
    read(x + g * kInt4Group, first);
    read(x + g * kInt4Group + kVectorLanes, second);
    for (int r = 0; r < rows; ++r) {
      Bytes packed;
      std::memcpy(&packed, matrix + (r * groups + g) * kVectorLanes, sizeof packed);
      const Words words = __builtin_convertvector(packed, Words);
      const Floats low = __builtin_convertvector(words & 15, Floats), high = __builtin_convertvector(words >> 4, Floats);
      const float scale = value_of(scales[r * groups + g]);
      sums[r] += scale * (low * first + high * second);
      offsets[r] += scale * group_sums[g];
    }
  }
  for (int r = 0; r < rows; ++r) out[r] = total(sums[r]) - 8 * offsets[r];
}

}  // namespace

REDOUBT_VECTORISED void multiply_rows(const float* x, const float* matrix, std::int64_t inputs, std::int64_t rows, float* out) {
  multiply_all(x, matrix, inputs, rows, out);
}

REDOUBT_VECTORISED static void multiply_rows_bits(const float* x, const std::uint16_t* matrix, std::int64_t inputs, std::int64_t rows, float* out) {
  multiply_all(x, matrix, inputs, rows, out);
}
void multiply_rows(const float* x, const bf16* matrix, std::int64_t inputs, std::int64_t rows, float* out) {
  multiply_rows_bits(x, reinterpret_cast<const std::uint16_t*>(matrix), inputs, rows, out);
}

REDOUBT_VECTORISED static void multiply_rows_int4_bits(const float* x, const float* group_sums, const std::uint8_t* matrix, const std::uint16_t* scales, std::int64_t inputs,
                                                       std::int64_t rows, float* out) {
  const std::int64_t groups = inputs / kInt4Group;
  std::int64_t r = 0;
  for (; r + kRowsTogether <= rows; r += kRowsTogether) multiply_int4_block<kRowsTogether>(x, group_sums, matrix + r * groups * kVectorLanes, scales + r * groups, inputs, out + r);
  for (; r < rows; ++r) multiply_int4_block<1>(x, group_sums, matrix + r * groups * kVectorLanes, scales + r * groups, inputs, out + r);
}
void multiply_rows_int4(const float* x, const float* group_sums, const std::uint8_t* matrix, const bf16* scales, std::int64_t inputs, std::int64_t rows, float* out) {
  multiply_rows_int4_bits(x, group_sums, matrix, reinterpret_cast<const std::uint16_t*>(scales), inputs, rows, out);
}

REDOUBT_VECTORISED void sum_rows(const float* factors, const float* matrix, std::int64_t rows, std::int64_t n, float* out) { sum_all(factors, matrix, rows, n, out); }
REDOUBT_VECTORISED static void sum_rows_bits(const float* factors, const std::uint16_t* matrix, std::int64_t rows, std::int64_t n, float* out) {
  sum_all(factors, matrix, rows, n, out);
}
void sum_rows(const float* factors, const bf16* matrix, std::int64_t rows, std::int64_t n, float* out) {
  sum_rows_bits(factors, reinterpret_cast<const std::uint16_t*>(matrix), rows, n, out);
}

REDOUBT_VECTORISED void sum_groups(const float* x, std::int64_t inputs, float* group_sums) {
  for (std::int64_t g = 0; g < inputs / kInt4Group; ++g) {
    float sum = 0;
    for (std::int64_t i = 0; i < kInt4Group; ++i) sum += x[g * kInt4Group + i];
    group_sums[g] = sum;
  }
}

}  // namespace redoubt::engine::model::row
