// SPDX-License-Identifier: Apache-2.0
#include "engine/model/packed_products.h"

#include <cpuid.h>
#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/model/lanes.h"

// GCC 12 warns of values that its own header of intrinsics leaves undefined on purpose (its bug 105593).
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

namespace redoubt::engine::model::row {
namespace {

// Some rows and `parts` registers of outputs of a panel, whose sums stay in registers while it passes by. Each loop over them is unrolled: an array
// with a variable place lies in memory.
template <class L, int rows, int parts>
struct SumBlock {
  using Floats = typename L::Floats;
  Floats sums[rows][parts] = {};

  REDOUBT_INLINE void add(const float* x, std::int64_t stride, const Floats (&weights)[parts]) {
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
      for (int p = 0; p < parts; ++p) sums[r][p] += x[r * stride] * weights[p];
  }
  REDOUBT_INLINE void add(const float* x, std::int64_t stride, const float* panel, std::int64_t inputs) {
    for (std::int64_t k = 0; k < inputs; ++k) {
      Floats weights[parts];
#pragma GCC unroll 4
      for (int p = 0; p < parts; ++p) std::memcpy(&weights[p], panel + k * kPanel + p * L::count, sizeof weights[p]);
      add(x + k, stride, weights);
    }
  }
  // A bf16 is the upper half of an fp32.
  REDOUBT_INLINE void add(const float* x, std::int64_t stride, const std::uint16_t* panel, std::int64_t inputs) {
    for (std::int64_t k = 0; k < inputs; k += 2) {
      typename L::Words pairs[parts];
      Floats weights[parts];
#pragma GCC unroll 4
      for (int p = 0; p < parts; ++p) std::memcpy(&pairs[p], panel + k * kPanel + 2 * p * L::count, sizeof pairs[p]);
#pragma GCC unroll 4
      for (int p = 0; p < parts; ++p) weights[p] = reinterpret_cast<Floats>(pairs[p] << 16);
      add(x + k, stride, weights);
#pragma GCC unroll 4
      for (int p = 0; p < parts; ++p) weights[p] = reinterpret_cast<Floats>(pairs[p] & 0xffff0000u);
      add(x + k + 1, stride, weights);
    }
  }
  REDOUBT_INLINE void store_to(Sums out) const {
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
      for (int p = 0; p < parts; ++p) std::memcpy(out.values + r * out.stride + p * L::count, &sums[r][p], sizeof sums[r][p]);
  }
};

// Rows that are computed together. One or two take as many registers of outputs as there are sums to wait for, more of them two.
template <class L>
constexpr int kTogether = L::count == 16 ? 8 : 5;

template <class L, int rows, class T>
REDOUBT_INLINE void sum_rows(Rows<float> x, const T* panel, std::int64_t inputs, Sums out) {
  constexpr int all = kPanel / L::count, parts = rows > 2 ? 2 : all > 4 ? 4 : all;
  constexpr std::int64_t pair = sizeof(T) == 2 ? 2 : 1;
  for (std::int64_t at = 0; at < kPanel; at += parts * L::count) {
    SumBlock<L, rows, parts> block;
    block.add(x.values, x.stride, panel + at * pair, inputs);
    block.store_to({out.values + at, out.stride});
  }
}

#define REDOUBT_ROWS(n) \
  case n: return sum_rows<L, n>(some, panel, inputs, to);
template <class L, class T>
REDOUBT_INLINE void sum_panel(Rows<float> x, const T* panel, std::int64_t inputs, Sums out) {
  const auto block = [&](std::int64_t begin, std::int64_t end) __attribute__((always_inline)) {
    const Rows<float> some{x.values + begin * x.stride, end - begin, x.stride};
    const Sums to{out.values + begin * out.stride, out.stride};
    if constexpr (kTogether<L> == 8) switch (some.count) { REDOUBT_ROWS(6) REDOUBT_ROWS(7) REDOUBT_ROWS(8) }
    switch (some.count) { REDOUBT_ROWS(1) REDOUBT_ROWS(2) REDOUBT_ROWS(3) REDOUBT_ROWS(4) REDOUBT_ROWS(5) }
  };
  for_blocks(x.count, kTogether<L>, block);
}
#undef REDOUBT_ROWS

template <class T>
REDOUBT_AVX512 void sum_avx512(Rows<float> x, const T* panel, std::int64_t inputs, Sums out) { sum_panel<Lanes<64>>(x, panel, inputs, out); }
template <class T>
REDOUBT_AVX2 void sum_avx2(Rows<float> x, const T* panel, std::int64_t inputs, Sums out) { sum_panel<Lanes<32>>(x, panel, inputs, out); }
template <class T>
void sum_plain(Rows<float> x, const T* panel, std::int64_t inputs, Sums out) { sum_panel<Lanes<16>>(x, panel, inputs, out); }

template <class T>
void sum_by(Vectors vectors, Rows<float> x, const T* panel, std::int64_t inputs, Sums out) {
  if (vectors >= Vectors::avx512) sum_avx512(x, panel, inputs, out);
  else if (vectors == Vectors::avx2) sum_avx2(x, panel, inputs, out);
  else sum_plain(x, panel, inputs, out);
}

// The block for so many rows, one to eight.
#define REDOUBT_UP_TO_8(rows, block, ...)     \
  switch (rows) {                             \
    case 1: return block<1>(__VA_ARGS__);     \
    case 2: return block<2>(__VA_ARGS__);     \
    case 3: return block<3>(__VA_ARGS__);     \
    case 4: return block<4>(__VA_ARGS__);     \
    case 5: return block<5>(__VA_ARGS__);     \
    case 6: return block<6>(__VA_ARGS__);     \
    case 7: return block<7>(__VA_ARGS__);     \
    default: return block<8>(__VA_ARGS__);    \
  }

// Two activations beside one another, in every lane.
template <class T>
REDOUBT_AVX512_BF16 REDOUBT_INLINE __m512i pair_at(const T* x) {
  std::int32_t pair;
  std::memcpy(&pair, x, sizeof pair);
  return _mm512_set1_epi32(pair);
}

// Lines of memory to call into the second cache (the first has the panel that is being read), a few at a time: more than the processor can wait
// for at once would hold up the products.
struct Ahead {
  const char* first = nullptr;
  std::int64_t lines = 0;
};
constexpr std::int64_t kLine = 64, kStretch = 64;  // bytes; inputs between two calls

// The sums of some rows, in registers while a panel passes by.
template <int rows>
struct Bf16Sums {
  __m512 low[rows], high[rows];

  REDOUBT_AVX512_BF16 REDOUBT_INLINE void clear() {
    for (int r = 0; r < rows; ++r) low[r] = high[r] = _mm512_setzero_ps();
  }
  REDOUBT_AVX512_BF16 REDOUBT_INLINE void read(Sums from) {
    for (int r = 0; r < rows; ++r) {
      low[r] = _mm512_loadu_ps(from.values + r * from.stride);
      high[r] = _mm512_loadu_ps(from.values + r * from.stride + kPanel / 2);
    }
  }
  REDOUBT_AVX512_BF16 REDOUBT_INLINE void add(const bf16* x, std::int64_t stride, const bf16* panel, std::int64_t inputs) {
    for (std::int64_t k = 0; k < inputs; k += 2) {
      const auto first = reinterpret_cast<__m512bh>(_mm512_loadu_si512(panel + k * kPanel)), second = reinterpret_cast<__m512bh>(_mm512_loadu_si512(panel + (k + 1) * kPanel));
      for (int r = 0; r < rows; ++r) {
        const auto pair = reinterpret_cast<__m512bh>(pair_at(x + r * stride + k));
        low[r] = _mm512_dpbf16_ps(low[r], pair, first);
        high[r] = _mm512_dpbf16_ps(high[r], pair, second);
      }
    }
  }
};

template <int rows>
REDOUBT_AVX512_BF16 REDOUBT_INLINE void bf16_block(const bf16* x, std::int64_t stride, const bf16* panel, std::int64_t inputs, Sums out, Start start) {
  Bf16Sums<rows> sums;
  if (start == Start::onto) sums.read(out);
  else sums.clear();
  sums.add(x, stride, panel, inputs);
  for (int r = 0; r < rows; ++r) {
    _mm512_storeu_ps(out.values + r * out.stride, sums.low[r]);
    _mm512_storeu_ps(out.values + r * out.stride + kPanel / 2, sums.high[r]);
  }
}

// What a block of rows needs, by reference: a copy in its caller would be read before it is written.
struct Rounded {
  Rows<bf16> x;
  const bf16* panel;
  std::int64_t inputs;
  LowRankPanel more;
  Ahead ahead;
  Outputs out;
};

template <int rows>
REDOUBT_AVX512_BF16 REDOUBT_INLINE void rounded_block(const Rounded& part) {
  Bf16Sums<rows> sums;
  sums.clear();
  const auto inputs = part.inputs;
  std::int64_t called = 0;
  for (std::int64_t k = 0; k < inputs; k += kStretch) {
    const auto end = std::min(inputs, k + kStretch);
    for (const auto due = part.ahead.lines * end / inputs; called < due; ++called) __builtin_prefetch(part.ahead.first + called * kLine, 0, 2);
    sums.add(part.x.values + k, part.x.stride, part.panel + k * kPanel, end - k);
  }
  sums.add(part.more.rows, part.more.stride, part.more.panel, part.more.rank);
  const auto& out = part.out;
  const auto used = static_cast<__mmask32>(out.width < kPanel ? (1u << out.width) - 1 : ~0u);
  for (int r = 0; r < rows; ++r) _mm512_mask_storeu_epi16(out.values + r * out.stride, used, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(sums.high[r], sums.low[r])));
}

REDOUBT_AVX512_BF16 void bf16_rows(const bf16* x, std::int64_t rows, std::int64_t stride, const bf16* panel, std::int64_t inputs, Sums out, Start start) {
  REDOUBT_UP_TO_8(rows, bf16_block, x, stride, panel, inputs, out, start)
}

REDOUBT_AVX512_BF16 void rounded_rows(const Rounded& part) {
  REDOUBT_UP_TO_8(part.x.count, rounded_block, part)
}

REDOUBT_AVX512_BF16 REDOUBT_INLINE __m512 to_floats(__m512i integers) {
  using Integers = std::int32_t __attribute__((vector_size(64)));
  return __builtin_convertvector(reinterpret_cast<Integers>(integers), __m512);
}

REDOUBT_AVX512_BF16 REDOUBT_INLINE __m512 scales_at(const bf16* scales) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(scales))), 16));
}

// The integer sums of a group become part of the rows' fp32 sums, which lie in `out` meanwhile.
template <int rows>
REDOUBT_AVX512_BF16 REDOUBT_INLINE void int8_block(const Int16Rows& x, const std::int8_t* panel, const bf16* scales, std::int64_t inputs, Sums out) {
  for (std::int64_t group = 0; group < inputs / kInt8Group; ++group) {
    __m512i low[rows], high[rows];
    for (int r = 0; r < rows; ++r) low[r] = high[r] = _mm512_setzero_si512();
    for (std::int64_t k = group * kInt8Group; k < (group + 1) * kInt8Group; k += 2) {
      const auto* at = reinterpret_cast<const __m256i*>(panel + k * kPanel);
      const auto first = _mm512_cvtepi8_epi16(_mm256_loadu_si256(at)), second = _mm512_cvtepi8_epi16(_mm256_loadu_si256(at + 1));
      for (int r = 0; r < rows; ++r) {
        const auto pair = pair_at(x.values + r * x.stride + k);
        low[r] = _mm512_dpwssd_epi32(low[r], pair, first);
        high[r] = _mm512_dpwssd_epi32(high[r], pair, second);
      }
    }
    const auto low_scales = scales_at(scales + group * kPanel), high_scales = scales_at(scales + group * kPanel + kPanel / 2);
    for (int r = 0; r < rows; ++r) {
      const auto scale = _mm512_set1_ps(x.scales[r * x.scale_stride + group]);
      float* to = out.values + r * out.stride;
      const auto before = group == 0 ? _mm512_setzero_ps() : _mm512_loadu_ps(to), before_high = group == 0 ? _mm512_setzero_ps() : _mm512_loadu_ps(to + kPanel / 2);
      _mm512_storeu_ps(to, _mm512_fmadd_ps(to_floats(low[r]), _mm512_mul_ps(scale, low_scales), before));
      _mm512_storeu_ps(to + kPanel / 2, _mm512_fmadd_ps(to_floats(high[r]), _mm512_mul_ps(scale, high_scales), before_high));
    }
  }
}

REDOUBT_AVX512_BF16 void int8_rows(const Int16Rows& x, const std::int8_t* panel, const bf16* scales, std::int64_t inputs, Sums out) {
  REDOUBT_UP_TO_8(x.count, int8_block, x, panel, scales, inputs, out)
}

#undef REDOUBT_UP_TO_8

REDOUBT_AVX2 void int8_row_avx2(const std::int16_t* x, const float* x_scales, const std::int8_t* panel, const bf16* scales, std::int64_t inputs, float* out) {
  for (std::int64_t group = 0; group < inputs / kInt8Group; ++group) {
    __m256i sums[4] = {};
    for (std::int64_t k = group * kInt8Group; k < (group + 1) * kInt8Group; k += 2) {
      std::int32_t pair;
      std::memcpy(&pair, x + k, sizeof pair);
      const auto* at = reinterpret_cast<const __m128i*>(panel + k * kPanel);
      for (int p = 0; p < 4; ++p) sums[p] = _mm256_add_epi32(sums[p], _mm256_madd_epi16(_mm256_set1_epi32(pair), _mm256_cvtepi8_epi16(_mm_loadu_si128(at + p))));
    }
    for (int p = 0; p < 4; ++p) {
      const auto* at = reinterpret_cast<const __m128i*>(scales + group * kPanel + 8 * p);
      const auto scale = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(at)), 16));
      const auto before = group == 0 ? _mm256_setzero_ps() : _mm256_loadu_ps(out + 8 * p);
      _mm256_storeu_ps(out + 8 * p, _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[p]), _mm256_mul_ps(_mm256_set1_ps(x_scales[group]), scale), before));
    }
  }
}

void int8_row_plain(const std::int16_t* x, const float* x_scales, const std::int8_t* panel, const bf16* scales, std::int64_t inputs, float* out) {
  std::fill_n(out, kPanel, 0.0f);
  for (std::int64_t group = 0; group < inputs / kInt8Group; ++group) {
    std::int32_t sums[kPanel] = {};
    for (std::int64_t k = group * kInt8Group; k < (group + 1) * kInt8Group; k += 2)
      for (std::int64_t i = 0; i < kPanel; ++i) sums[i] += x[k] * panel[k * kPanel + 2 * i] + x[k + 1] * panel[k * kPanel + 2 * i + 1];
    for (std::int64_t i = 0; i < kPanel; ++i) out[i] += static_cast<float>(sums[i]) * (x_scales[group] * static_cast<float>(scales[group * kPanel + i]));
  }
}

}  // namespace

bool has_tiles() {
  // Asked once: in a virtual machine the question itself takes as long as a small product.
  static const bool has = [] {
    constexpr unsigned kAmxBf16 = 1u << 22;
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & kAmxBf16) != 0;
  }();
  return has;
}

void multiply_panel(Vectors vectors, Rows<float> x, const float* panel, std::int64_t inputs, Sums out) { sum_by(vectors, x, panel, inputs, out); }
void multiply_panel(Vectors vectors, Rows<float> x, const bf16* panel, std::int64_t inputs, Sums out) {
  sum_by(vectors, x, reinterpret_cast<const std::uint16_t*>(panel), inputs, out);
}
void multiply_panel(Rows<bf16> x, const bf16* panel, std::int64_t inputs, Sums out, Start start) {
  for_blocks(x.count, 8, [&](std::int64_t begin, std::int64_t end) {
    bf16_rows(x.values + begin * x.stride, end - begin, x.stride, panel, inputs, {out.values + begin * out.stride, out.stride}, start);
  });
}
void multiply_panel(Rows<bf16> x, const bf16* panel, std::int64_t inputs, const LowRankPanel& more, Outputs out, const bf16* next) {
  const auto lines = inputs * kPanel * static_cast<std::int64_t>(sizeof *panel) / kLine;
  Rounded part{x, panel, inputs, more, {}, out};
  for_blocks(x.count, 8, [&](std::int64_t begin, std::int64_t end) {
    part.x.values = x.values + begin * x.stride;
    part.x.count = end - begin;
    part.more.rows = more.rows + begin * more.stride;
    part.out.values = out.values + begin * out.stride;
    if (next) {
      const auto before = lines * begin / x.count;
      part.ahead.first = reinterpret_cast<const char*>(next) + before * kLine;
      part.ahead.lines = lines * end / x.count - before;
    }
    rounded_rows(part);
  });
}

void multiply_panel(Vectors vectors, Int16Rows x, const std::int8_t* panel, const bf16* scales, std::int64_t inputs, Sums out) {
  for_blocks(x.count, vectors == Vectors::avx512_bf16 ? 8 : 1, [&](std::int64_t begin, std::int64_t end) {
    const Int16Rows some{x.values + begin * x.stride, x.scales + begin * x.scale_stride, end - begin, x.stride, x.scale_stride};
    const Sums to{out.values + begin * out.stride, out.stride};
    if (vectors == Vectors::avx512_bf16) int8_rows(some, panel, scales, inputs, to);
    else if (vectors >= Vectors::avx2) int8_row_avx2(some.values, some.scales, panel, scales, inputs, to.values);
    else int8_row_plain(some.values, some.scales, panel, scales, inputs, to.values);
  });
}

REDOUBT_VECTORISED void round_to_int16(const float* x, std::int64_t inputs, std::int16_t* values, float* scales) {
  constexpr float kMost = 32767, kToInteger = 12582912;  // 1.5 * 2^23: adding it rounds to the nearest integer
  for (std::int64_t begin = 0; begin < inputs; begin += kInt8Group) {
    const auto n = std::min(kInt8Group, inputs - begin);
    float most = 0;
#pragma omp simd reduction(max : most)
    for (std::int64_t i = 0; i < n; ++i) most = std::abs(x[begin + i]) > most ? std::abs(x[begin + i]) : most;
    const float steps = most > 0 ? kMost / most : 0;
    for (std::int64_t i = 0; i < n; ++i) values[begin + i] = static_cast<std::int16_t>(static_cast<std::int32_t>(x[begin + i] * steps + kToInteger - kToInteger));
    std::fill(values + begin + n, values + begin + kInt8Group, std::int16_t{0});
    scales[begin / kInt8Group] = most / kMost;
  }
}

}  // namespace redoubt::engine::model::row

#pragma GCC diagnostic pop
