// SPDX-License-Identifier: Apache-2.0
//
// Rows of activations times a panel: 32 outputs of a weight matrix, laid out so that one pass from its first byte to its last gives all
// of them, for one row (bound by how fast memory is read) and for many (bound by arithmetic). Each output of each row is summed in the
// order of its inputs, so a row's results are the same to the bit whatever rows it is computed with.
#pragma once

#include <cstdint>

#include "engine/model/row_math.h"
#include "engine/model/vectorised.h"

namespace redoubt::engine::model::row {

inline constexpr std::int64_t kPanel = 32;      // outputs
inline constexpr std::int64_t kInt8Group = 64;  // inputs that share a scale, of activations and of weights; a panel of int8 has a multiple of it

// Whether the framework multiplies large bf16 matrices by tiles (AMX), faster than panels are.
bool has_tiles();

// Rows of activations, each `stride` elements behind the one before.
template <class T>
struct Rows {
  const T* values;
  std::int64_t count, stride;
};
// 32 fp32 sums a row, each row `stride` elements behind the one before.
struct Sums {
  float* values;
  std::int64_t stride;
};

// Panels lie input by input, in bf16 and int8 in pairs of inputs: [inputs / 2][32 outputs][2]. `inputs` is then even.
void multiply_panel(Vectors vectors, Rows<float> x, const float* panel, std::int64_t inputs, Sums out);
void multiply_panel(Vectors vectors, Rows<float> x, const bf16* panel, std::int64_t inputs, Sums out);
// Needs avx512_bf16. `onto`: what lies in `out` is added to.
enum class Start { zero, onto };
void multiply_panel(Rows<bf16> x, const bf16* panel, std::int64_t inputs, Sums out, Start start = Start::zero);

// Rows of `rank` values and a panel of a second matrix: its products are part of the same sums. The rank is even, 0 for none.
struct LowRankPanel {
  const bf16* rows = nullptr;
  const bf16* panel = nullptr;
  std::int64_t rank = 0, stride = 0;
};
// The first `width` of each row's outputs in bf16, each row `stride` elements behind the one before.
struct Outputs {
  bf16* values;
  std::int64_t stride, width;
};
// Needs avx512_bf16. The sums are rounded once, to the nearest even; what is too small for a normal number becomes 0.
// `next`, if any, is a panel of as many inputs that is brought near meanwhile.
void multiply_panel(Rows<bf16> x, const bf16* panel, std::int64_t inputs, const LowRankPanel& more, Outputs out, const bf16* next = nullptr);

// Activations in 16 bits with a scale for every 64 inputs: sums within a group are exact integers.
struct Int16Rows {
  const std::int16_t* values;
  const float* scales;
  std::int64_t count, stride, scale_stride;
};
// scales: [inputs / 64][32 outputs].
void multiply_panel(Vectors vectors, Int16Rows x, const std::int8_t* panel, const bf16* scales, std::int64_t inputs, Sums out);
// `inputs` values; the rest of the last group becomes 0.
void round_to_int16(const float* x, std::int64_t inputs, std::int16_t* values, float* scales);

}  // namespace redoubt::engine::model::row
