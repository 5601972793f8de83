// SPDX-License-Identifier: Apache-2.0
//
// What head_attention.h computes, for heads in bf16 on a machine that multiplies them: the products take their rows where they lie, sums
// and softmax are fp32, and probabilities and the gradients of scores are rounded to bf16 before they are multiplied (as FlashAttention-2
// does, arXiv 2307.08691).
#pragma once

#include <memory>
#include <vector>

#include "engine/model/head_attention.h"
#include "engine/model/packed_products.h"

namespace redoubt::engine::model {

class HalfAttention {
 public:
  using Rows = HeadRows<row::bf16>;
  static constexpr std::int64_t kTileRows = TileScores::kRows;
  static bool can_take(std::int64_t d) { return d % 2 == 0 && row::best_vectors() == row::Vectors::avx512_bf16; }
  // Of a row of gradients of d values.
  static std::int64_t width(std::int64_t d) { return (d + row::kPanel - 1) / row::kPanel * row::kPanel; }

  // Keys and values `first` to `end` - 1 of their sequence.
  HalfAttention(const HeadPieces<row::bf16>& keys, const HeadPieces<row::bf16>& values, std::int64_t d, std::int64_t first, std::int64_t end, const Scoring& scoring);

  // out = what `count` queries, up to kTileRows, take from the values, each from the row `begin` on; the first of them sees `seen` keys of the
  // sequence.
  void attend(const Rows& query, std::int64_t begin, std::int64_t count, std::int64_t seen, const Rows& out);

  // To be called before attend_backward. The gradients of keys and values [end - first, width] are added to what lies there.
  void gather_gradients(float* dkeys, float* dvalues);
  // dquery [count, width] = the gradient of a tile of queries for `dout`, that of what they took.
  void attend_backward(const Rows& query, const Rows& dout, std::int64_t begin, std::int64_t count, std::int64_t seen, float* dquery);

 private:
  using Halves = std::unique_ptr<row::bf16[]>;
  std::vector<const row::bf16*> rows_of(const HeadPieces<row::bf16>& pieces) const;
  Halves panels_of_rows(const std::vector<const row::bf16*>& rows) const;     // each row is an output
  Halves panels_of_columns(const std::vector<const row::bf16*>& rows) const;  // each column is an output
  std::int64_t keys_of(std::int64_t count, std::int64_t seen) const { return seen + count - 1 - first_; }
  // Products of a tile's rows and those that the panels are made of, [count, columns].
  void multiply_by_rows(const Rows& rows, std::int64_t begin, std::int64_t count, std::int64_t used, const Halves& panels, float* out) const;
  // Products of the rounded tile and the columns, [count, width].
  void multiply_by_columns(std::int64_t count, std::int64_t used, const Halves& panels, float* out) const;
  // A tile's exponentials into scores_: the greatest of each row is exact when it is rounded.
  void score(const Rows& query, std::int64_t begin, std::int64_t count, std::int64_t seen);
  // Adds to a gradient [keys, width] what the tile's `values` [count, columns] take from `rows`.
  void add_transposed(const float* values, const Rows& rows, std::int64_t begin, std::int64_t count, std::int64_t used, float* gradient);
  void round_tile(const float* values, std::int64_t count, std::int64_t used);

  const std::int64_t d_, width_, first_, count_, even_, columns_;
  std::vector<const row::bf16*> keys_, values_;
  Halves keys_as_outputs_, values_as_outputs_;  // panels of keys [d / 2][32][2]
  Halves keys_as_inputs_, values_as_inputs_;    // panels of columns [even / 2][32][2]
  TileScores scores_;
  std::unique_ptr<float[]> attended_;  // [kTileRows, width]
  std::unique_ptr<float[]> turned_;    // [columns, kTileRows]
  Halves rounded_, turned_halves_, panel_;
  float *dkeys_ = nullptr, *dvalues_ = nullptr;
};

}  // namespace redoubt::engine::model
