// SPDX-License-Identifier: Apache-2.0
#include "engine/model/panels.h"

#include <immintrin.h>

#include <cstring>

// GCC 12 warns of values that its own header of intrinsics leaves undefined on purpose (its bug 105593).
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

namespace redoubt::engine::model::row {
namespace {

constexpr std::int64_t kTurned = 16;  // rows, and words of each, that registers turn at once

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
