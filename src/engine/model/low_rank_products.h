// SPDX-License-Identifier: Apache-2.0
//
// Products with an adapter's matrices, by instructions for bf16: narrow ones, for which panels of 32 outputs are too wide, over the bands alone
// in which they are not zero. Each sum is fp32 and made in one order, whatever the threads.
#pragma once

#include <span>

#include "engine/model/low_rank.h"
#include "engine/model/row_math.h"
#include "engine/torch.h"

namespace redoubt::engine::model {

// Whether rows like x, and factors of such bands, can be multiplied so: in bf16, dense, of even widths, on a machine that is faster so.
bool multiplies_low_rank(const at::Tensor& x, std::span<const RankBand> bands = {});

// x a^T for x [rows, inputs] and a [ranks, inputs].
at::Tensor reduce(const at::Tensor& x, const at::Tensor& a);
// dy b for dy [rows, outputs] and b [outputs, ranks], which is not read outside its bands.
at::Tensor reduce_back(const at::Tensor& dy, const at::Tensor& b, std::span<const RankBand> bands);

// Neighbouring columns of some rows.
struct Columns {
  const row::bf16* first;
  std::int64_t stride, count;
};
// to[i * rank_step + j * column_step] += scale * the sum of ranks[row, i] * columns[row, j] over the rows.
struct OuterProduct {
  Columns ranks, columns;
  float* to;
  std::int64_t rank_step, column_step;
  float scale;
};
void add_outer_products(std::span<const OuterProduct> products, std::int64_t rows);

}  // namespace redoubt::engine::model
