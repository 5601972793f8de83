// SPDX-License-Identifier: Apache-2.0
#include "engine/model/panels.h"

#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "engine/model/vectorised.h"

// GCC 12 warns of values that its own header of intrinsics leaves undefined on purpose (its bug 105593).
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

namespace redoubt::engine::model::row {
namespace {

constexpr std::int64_t kTurned = 16;  // rows, and words of each, that registers turn at once

// Pairs of two rows' values in turn, 16 of them from the one half of the columns and 16 from the other.
REDOUBT_AVX512 REDOUBT_INLINE void pack_in_registers(const bf16* row, const bf16* next, std::int64_t columns, std::int64_t width, bf16* to) {
  const auto used = static_cast<__mmask32>(columns < kPanel ? (1u << columns) - 1 : ~0u);
  const auto a = _mm512_maskz_loadu_epi16(used, row), b = next ? _mm512_maskz_loadu_epi16(used, next) : _mm512_setzero_si512();
  // Places of `b` begin at 32.
  const auto pairs = _mm512_setr_epi32(0x200000, 0x210001, 0x220002, 0x230003, 0x240004, 0x250005, 0x260006, 0x270007, 0x280008, 0x290009, 0x2a000a, 0x2b000b,
                                       0x2c000c, 0x2d000d, 0x2e000e, 0x2f000f);
  _mm512_storeu_si512(to, _mm512_permutex2var_epi16(a, pairs, b));
  if (width == kPanel) _mm512_storeu_si512(to + kPanel, _mm512_permutex2var_epi16(a, _mm512_add_epi16(pairs, _mm512_set1_epi16(16)), b));
}

REDOUBT_AVX512 void pack_one_avx512(const bf16* row, const bf16* next, std::int64_t columns, std::int64_t width, bf16* to) { pack_in_registers(row, next, columns, width, to); }

REDOUBT_AVX512 void pack_all_avx512(const bf16* from, std::int64_t stride, std::int64_t inputs, std::int64_t columns, bf16* to) {
  for (std::int64_t k = 0; k < inputs; k += 2) pack_in_registers(from + k * stride, from + (k + 1) * stride, columns, kPanel, to + k * kPanel);
}

}  // namespace

__attribute__((target("avx512f"))) void turn_words(const void* const* rows, std::byte* to, std::int64_t step) {
  __m512i a[kTurned], b[kTurned];
  for (int r = 0; r < kTurned; ++r) a[r] = _mm512_loadu_si512(rows[r]);
  // Four rows' words of one place come together within each quarter of a register, then the quarters to where they belong.
  for (int r = 0; r < kTurned; r += 2) {
    b[r] = _mm512_unpacklo_epi32(a[r], a[r + 1]);
    b[r + 1] = _mm512_unpackhi_epi32(a[r], a[r + 1]);
  }
  for (int r = 0; r < kTurned; r += 4)
    for (int h = 0; h < 2; ++h) {
      a[r + 2 * h] = _mm512_unpacklo_epi64(b[r + h], b[r + 2 + h]);
      a[r + 2 * h + 1] = _mm512_unpackhi_epi64(b[r + h], b[r + 2 + h]);
    }
  for (int word = 0; word < 4; ++word) {
    const auto low = _mm512_shuffle_i32x4(a[word], a[4 + word], 0x88), low_odd = _mm512_shuffle_i32x4(a[word], a[4 + word], 0xdd);
    const auto high = _mm512_shuffle_i32x4(a[8 + word], a[12 + word], 0x88), high_odd = _mm512_shuffle_i32x4(a[8 + word], a[12 + word], 0xdd);
    _mm512_storeu_si512(to + word * step, _mm512_shuffle_i32x4(low, high, 0x88));
    _mm512_storeu_si512(to + (4 + word) * step, _mm512_shuffle_i32x4(low_odd, high_odd, 0x88));
    _mm512_storeu_si512(to + (8 + word) * step, _mm512_shuffle_i32x4(low, high, 0xdd));
    _mm512_storeu_si512(to + (12 + word) * step, _mm512_shuffle_i32x4(low_odd, high_odd, 0xdd));
  }
}

void pack_inputs(const bf16* row, const bf16* next, std::int64_t columns, std::int64_t width, bf16* to) {
  if (best_vectors() >= Vectors::avx512) return pack_one_avx512(row, next, columns, width, to);
  for (std::int64_t o = 0; o < columns; ++o) {
    to[2 * o] = row[o];
    to[2 * o + 1] = next ? next[o] : bf16{};
  }
  std::fill(to + 2 * columns, to + 2 * width, bf16{});
}

void pack_input_rows(const bf16* from, std::int64_t stride, std::int64_t inputs, std::int64_t columns, bf16* to) {
  if (best_vectors() >= Vectors::avx512) return pack_all_avx512(from, stride, inputs, columns, to);
  for (std::int64_t k = 0; k < inputs; k += 2) pack_inputs(from + k * stride, from + (k + 1) * stride, columns, kPanel, to + k * kPanel);
}

void pack_row_outputs(const bf16* const* rows, std::int64_t count, std::int64_t inputs, bf16* to, std::int64_t width) {
  const auto pairs = inputs / 2, turned = best_vectors() >= Vectors::avx512 ? pairs / kTurned * kTurned : 0;
  const auto whole = turned > 0 ? count / kTurned * kTurned : 0;
  for (std::int64_t o = 0; o < whole; o += kTurned)
    for (std::int64_t k = 0; k < turned; k += kTurned) {
      const void* words[kTurned];
      for (std::int64_t r = 0; r < kTurned; ++r) words[r] = rows[o + r] + 2 * k;
      turn_words(words, reinterpret_cast<std::byte*>(to + (k * width + o) * 2), 2 * width * static_cast<std::int64_t>(sizeof *to));
    }
  for (std::int64_t o = 0; o < count; ++o)
    for (auto k = o < whole ? turned : 0; k < pairs; ++k) std::memcpy(to + (k * width + o) * 2, rows[o] + k * 2, 2 * sizeof *to);
}

}  // namespace redoubt::engine::model::row

#pragma GCC diagnostic pop
