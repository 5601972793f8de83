// SPDX-License-Identifier: Apache-2.0
#include "engine/model/low_rank_products.h"

#include <immintrin.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "engine/model/panels.h"
#include "engine/model/tasks.h"
#include "engine/model/vectorised.h"

// GCC 12 warns of values that its own header of intrinsics leaves undefined on purpose (its bug 105593).
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

namespace redoubt::engine::model {
namespace {

using row::bf16;

constexpr std::int64_t kStrip = 16;    // outputs, or ranks: as many as a register has sums
constexpr std::int64_t kAtOnce = 8;    // ranks of an outer product whose sums are in registers
constexpr std::int64_t kTile = 32;     // columns of an outer product
constexpr std::int64_t kReduceTaskRows = 16;
constexpr std::int64_t kAhead = 24;  // rows of an outer product that are called for before they are multiplied

// Two values beside one another, in every lane.
REDOUBT_AVX512_BF16 REDOUBT_INLINE __m512bh bf16_pair_at(const bf16* x) {
  std::int32_t pair;
  std::memcpy(&pair, x, sizeof pair);
  return reinterpret_cast<__m512bh>(_mm512_set1_epi32(pair));
}

// `rows` rows times a panel [inputs / 2][16][2]; of its outputs the first `used` are stored.
template <int rows>
REDOUBT_AVX512_BF16 REDOUBT_INLINE void strip_block(const bf16* x, std::int64_t stride, const bf16* panel, std::int64_t inputs, __mmask16 used, bf16* out, std::int64_t out_stride) {
  __m512 sums[rows];
  for (int r = 0; r < rows; ++r) sums[r] = _mm512_setzero_ps();
  for (std::int64_t k = 0; k < inputs; k += 2) {
    const auto weights = reinterpret_cast<__m512bh>(_mm512_loadu_si512(panel + k * kStrip));
    for (int r = 0; r < rows; ++r) sums[r] = _mm512_dpbf16_ps(sums[r], bf16_pair_at(x + r * stride + k), weights);
  }
  for (int r = 0; r < rows; ++r) _mm256_mask_storeu_epi16(out + r * out_stride, used, reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(sums[r])));
}

REDOUBT_AVX512_BF16 void multiply_strip(const bf16* x, std::int64_t rows, std::int64_t stride, const bf16* panel, std::int64_t inputs, std::int64_t outputs, bf16* out,
                                        std::int64_t out_stride) {
  const auto used = static_cast<__mmask16>((1u << outputs) - 1);
  std::int64_t r = 0;
#define REDOUBT_ROWS(n) \
  for (; r + n <= rows; r += n) strip_block<n>(x + r * stride, stride, panel, inputs, used, out + r * out_stride, out_stride);
  REDOUBT_ROWS(16) REDOUBT_ROWS(8) REDOUBT_ROWS(4) REDOUBT_ROWS(1)
#undef REDOUBT_ROWS
}

// The sums over rows of eight ranks, as pairs of rows [rows / 2][16][2], and 32 columns, of which `used` are read: sums [8][32].
REDOUBT_AVX512_BF16 void outer_tile(const bf16* pairs, const bf16* columns, std::int64_t stride, std::int64_t rows, __mmask32 used, float* sums) {
  __m512 low[kAtOnce], high[kAtOnce];  // in registers only where each loop over them is unrolled
#pragma GCC unroll 8
  for (int i = 0; i < kAtOnce; ++i) low[i] = high[i] = _mm512_setzero_ps();
  for (std::int64_t row = 0; row < rows; row += 2, pairs += 2 * kStrip) {
    // Rows are as far apart as the matrix is wide, too far for the processor to guess them.
    for (int next = 0; next < 2; ++next) __builtin_prefetch(columns + std::min(row + kAhead + next, rows - 1) * stride, 0, 3);
    const auto first = _mm512_maskz_loadu_epi16(used, columns + row * stride);
    const auto second = row + 1 < rows ? _mm512_maskz_loadu_epi16(used, columns + (row + 1) * stride) : _mm512_setzero_si512();
    const auto lower = reinterpret_cast<__m512bh>(_mm512_unpacklo_epi16(first, second)), upper = reinterpret_cast<__m512bh>(_mm512_unpackhi_epi16(first, second));
#pragma GCC unroll 8
    for (int i = 0; i < kAtOnce; ++i) {
      const auto pair = bf16_pair_at(pairs + 2 * i);
      low[i] = _mm512_dpbf16_ps(low[i], pair, lower);
      high[i] = _mm512_dpbf16_ps(high[i], pair, upper);
    }
  }
  // Columns were paired within each quarter of a register, four of its eight in `low` and four in `high`.
  const auto left = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23), right = _mm512_add_epi32(left, _mm512_set1_epi32(8));
#pragma GCC unroll 8
  for (int i = 0; i < kAtOnce; ++i) {
    _mm512_storeu_ps(sums + i * kTile, _mm512_permutex2var_ps(low[i], left, high[i]));
    _mm512_storeu_ps(sums + i * kTile + kTile / 2, _mm512_permutex2var_ps(low[i], right, high[i]));
  }
}

// Up to 16 outputs of a product, from some of its inputs.
struct Strip {
  std::int64_t input, inputs, output, outputs;
  std::vector<bf16> panel;

  Strip(std::int64_t first_input, std::int64_t input_count, std::int64_t first_output, std::int64_t output_count)
      : input(first_input), inputs(input_count), output(first_output), outputs(output_count), panel(static_cast<std::size_t>(inputs * kStrip)) {}
};

at::Tensor multiply_strips(const at::Tensor& x, std::int64_t outputs, const std::vector<Strip>& strips) {
  const std::int64_t rows = x.size(0), stride = x.stride(0);
  auto out = at::empty({rows, outputs}, x.options());
  auto* to = out.mutable_data_ptr<bf16>();
  const auto* from = x.const_data_ptr<bf16>();
  at::parallel_for(0, (rows + kReduceTaskRows - 1) / kReduceTaskRows, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t first = begin * kReduceTaskRows; first < std::min(rows, end * kReduceTaskRows); first += kReduceTaskRows)
      for (const auto& strip : strips)
        multiply_strip(from + first * stride + strip.input, std::min(kReduceTaskRows, rows - first), stride, strip.panel.data(), strip.inputs, strip.outputs,
                       to + first * outputs + strip.output, outputs);
  });
  return out;
}

// Rows of columns two by two, [(rows + 1) / 2][16][2]; what is missing is 0.
std::vector<bf16> pairs_of_rows(const Columns& columns, std::int64_t rows) {
  std::vector<bf16> pairs(static_cast<std::size_t>((rows + 1) / 2 * 2 * kStrip));
  for (std::int64_t row = 0; row < rows; row += 2) {
    const auto* first = columns.first + row * columns.stride;
    row::pack_inputs(first, row + 1 < rows ? first + columns.stride : nullptr, columns.count, kStrip, pairs.data() + row * kStrip);
  }
  return pairs;
}

// Up to 16 ranks of an outer product.
struct OuterStrip {
  const OuterProduct* product;
  std::int64_t rank, ranks, first_task;
  std::vector<bf16> pairs;
};

void add_tile(const OuterStrip& strip, std::int64_t column, std::int64_t rows) {
  const auto& product = *strip.product;
  const std::int64_t width = std::min(kTile, product.columns.count - column);
  const auto used = static_cast<__mmask32>(width < kTile ? (1u << width) - 1 : ~0u);
  alignas(64) float sums[kStrip * kTile] = {};
  for (std::int64_t i = 0; i < strip.ranks; i += kAtOnce)
    outer_tile(strip.pairs.data() + 2 * i, product.columns.first + column, product.columns.stride, rows, used, sums + i * kTile);
  float* to = product.to + strip.rank * product.rank_step + column * product.column_step;
  if (product.column_step == 1) {
    for (std::int64_t i = 0; i < strip.ranks; ++i) row::add_scaled(to + i * product.rank_step, product.scale, sums + i * kTile, width);
    return;
  }
  alignas(64) float turned[kTile * kStrip];
  for (std::int64_t half = 0; half < kTile; half += kStrip) {
    const void* words[kStrip];
    for (std::int64_t i = 0; i < kStrip; ++i) words[i] = sums + i * kTile + half;
    row::turn_words(words, reinterpret_cast<std::byte*>(turned + half * kStrip), kStrip * sizeof(float));
  }
  if (product.rank_step == 1 && product.column_step == kStrip && strip.ranks == kStrip) return row::add_scaled(to, product.scale, turned, width * kStrip);
  for (std::int64_t j = 0; j < width; ++j)
    for (std::int64_t i = 0; i < strip.ranks; ++i) to[j * product.column_step + i * product.rank_step] += product.scale * turned[j * kStrip + i];
}

}  // namespace

bool multiplies_low_rank(const at::Tensor& x, std::span<const RankBand> bands) {
  return row::best_vectors() == row::Vectors::avx512_bf16 && !row::has_tiles() && x.scalar_type() == at::kBFloat16 && x.is_contiguous() && x.size(1) % 2 == 0 &&
         std::ranges::all_of(bands, [](const RankBand& band) { return band.outputs % 2 == 0; });
}

at::Tensor reduce(const at::Tensor& x, const at::Tensor& a) {
  const std::int64_t ranks = a.size(0), inputs = a.size(1);
  CHECK(multiplies_low_rank(x) && a.is_contiguous() && a.scalar_type() == at::kBFloat16 && x.size(1) == inputs);
  const auto* from = a.const_data_ptr<bf16>();
  std::vector<Strip> strips;
  for (std::int64_t rank = 0; rank < ranks; rank += kStrip) {
    auto& strip = strips.emplace_back(0, inputs, rank, std::min(kStrip, ranks - rank));
    const bf16* rows[kStrip];
    for (std::int64_t o = 0; o < strip.outputs; ++o) rows[o] = from + (rank + o) * inputs;
    row::pack_row_outputs(rows, strip.outputs, inputs, strip.panel.data(), kStrip);
  }
  return multiply_strips(x, ranks, strips);
}

at::Tensor reduce_back(const at::Tensor& dy, const at::Tensor& b, std::span<const RankBand> bands) {
  const std::int64_t ranks = b.size(1);
  CHECK(multiplies_low_rank(dy, bands) && b.is_contiguous() && b.scalar_type() == at::kBFloat16 && dy.size(1) == b.size(0));
  const auto* from = b.const_data_ptr<bf16>();
  std::vector<Strip> strips;
  std::int64_t covered = 0;
  for (const auto& band : bands) {
    covered += band.ranks;
    for (std::int64_t rank = 0; rank < band.ranks; rank += kStrip) {
      auto& strip = strips.emplace_back(band.output, band.outputs, band.rank + rank, std::min(kStrip, band.ranks - rank));
      for (std::int64_t k = 0; k < strip.inputs; k += 2) {
        const auto* pair = from + (strip.input + k) * ranks + strip.output;
        row::pack_inputs(pair, pair + ranks, strip.outputs, kStrip, strip.panel.data() + k * kStrip);
      }
    }
  }
  CHECK(covered == ranks);
  return multiply_strips(dy, ranks, strips);
}

void add_outer_products(std::span<const OuterProduct> products, std::int64_t rows) {
  std::vector<OuterStrip> strips;
  std::int64_t tasks = 0;
  for (const auto& product : products)
    for (std::int64_t rank = 0; rank < product.ranks.count; rank += kStrip) {
      const std::int64_t ranks = std::min(kStrip, product.ranks.count - rank);
      strips.push_back({&product, rank, ranks, tasks, pairs_of_rows({product.ranks.first + rank, product.ranks.stride, ranks}, rows)});
      tasks += (product.columns.count + kTile - 1) / kTile;
    }
  for_each_task(tasks, [&](std::int64_t task) {
    const auto after = std::ranges::upper_bound(strips, task, {}, &OuterStrip::first_task);
    const auto& strip = *std::prev(after);
    add_tile(strip, (task - strip.first_task) * kTile, rows);
  });
}

}  // namespace redoubt::engine::model

#pragma GCC diagnostic pop
