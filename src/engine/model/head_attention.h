// SPDX-License-Identifier: Apache-2.0
//
// Attention of the query heads that share one key head, and its gradient, in fp32 tile by tile: no more of the scores exists at a time
// than a few rows, and the way back computes them anew (FlashAttention, arXiv 2205.14135, without its running softmax: a row's
// scores fit the cache).
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <span>

#include "engine/model/row_math.h"
#include "engine/model/tile_products.h"
#include "engine/model/tile_scores.h"

namespace redoubt::engine::model {

// Rows of one head: `count` of them, `stride` values apart.
template <class T>
struct HeadRows {
  T* first = nullptr;
  std::int64_t stride = 0, count = 0;
  T* row(std::int64_t r) const { return first + r * stride; }
};

// A tile of rows in fp32, `d` of `width` columns used and the others zero.
class Tile {
 public:
  Tile(std::int64_t rows, std::int64_t d) : d_(d), width_(row::padded(d)), values_(floats(rows * width_)) {}
  template <class T>
  void load(const HeadRows<T>& from, std::int64_t begin, std::int64_t end, std::int64_t at = 0) {
    for (std::int64_t r = begin; r < end; ++r, ++at) {
      row::load(from.row(r), row(at), d_);
      std::fill(row(at) + d_, row(at) + width_, 0.0f);
    }
  }
  float* row(std::int64_t r) { return values_.get() + r * width_; }
  const float* row(std::int64_t r) const { return values_.get() + r * width_; }
  std::int64_t d() const { return d_; }
  std::int64_t width() const { return width_; }
  row::TileView view() const { return {values_.get(), width_, 1}; }

 private:
  std::int64_t d_, width_;
  std::unique_ptr<float[]> values_;
};

// Keys or values that lie in up to two pieces: first those of a stem, then the sequence's own.
template <class T>
using HeadPieces = std::array<HeadRows<const T>, 2>;

// What the queries of one key head meet: keys and values `first` to `end` - 1 of their sequence.
template <class T>
class HeadAttention {
 public:
  static constexpr std::int64_t kTileRows = TileScores::kRows;

  HeadAttention(const HeadPieces<T>& keys, const HeadPieces<T>& values, std::int64_t d, std::int64_t first, std::int64_t end, const Scoring& scoring)
      : first_(first), count_(end - first), columns_(row::padded(count_)), keys_(count_, d), values_(count_, d), keys_by_column_(floats(d * columns_)),
        scores_(columns_, first, scoring) {
    take(keys, keys_);
    take(values, values_);
    row::transpose_tile(keys_.row(0), keys_.width(), count_, d, keys_by_column_.get(), columns_);
  }

  // out = what `rows` queries, up to kTileRows, take from the values; the first of them sees `seen` keys of the sequence.
  void attend(const Tile& query, std::int64_t rows, std::int64_t seen, Tile& out) {
    score(query, rows, seen);
    row::multiply_tile(vectors_, {view_of(scores_.values()), values_.row(0), values_.width(), rows, keys_of(rows, seen), values_.width(), out.row(0), out.width()});
  }

  // To be called before attend_backward. The gradients of keys and values [end - first, padded d] are added to what lies there.
  void gather_gradients(float* dkeys, float* dvalues) {
    dkeys_ = dkeys, dvalues_ = dvalues;
    values_by_column_ = floats(values_.d() * columns_);
    row::transpose_tile(values_.row(0), values_.width(), count_, values_.d(), values_by_column_.get(), columns_);
    scores_.keep_for_gradients();
  }

  // dquery = the gradient of a tile of queries for `dout`, that of what they took.
  void attend_backward(const Tile& query, const Tile& dout, std::int64_t rows, std::int64_t seen, Tile& dquery) {
    score(query, rows, seen);
    const std::int64_t used = keys_of(rows, seen), width = query.width();
    row::add_tile(vectors_, {transposed_view_of(scores_.values()), dout.row(0), width, used, rows, width, dvalues_, width});
    row::multiply_tile(vectors_, {dout.view(), values_by_column_.get(), columns_, rows, dout.d(), row::padded(used), scores_.gradients(), columns_});
    scores_.to_gradients_of_products(rows, seen, row::padded(used));
    row::multiply_tile(vectors_, {view_of(scores_.gradients()), keys_.row(0), width, rows, used, width, dquery.row(0), width});
    row::add_tile(vectors_, {transposed_view_of(scores_.gradients()), query.row(0), width, used, rows, width, dkeys_, width});
  }

 private:
  void take(const HeadPieces<T>& pieces, Tile& to) const {
    const std::int64_t past = pieces[0].count, end = first_ + count_;
    if (first_ < past) to.load(pieces[0], first_, std::min(past, end), 0);
    if (end > past) to.load(pieces[1], std::max<std::int64_t>(first_ - past, 0), end - past, std::max<std::int64_t>(past - first_, 0));
  }
  row::TileView view_of(const float* scores) const { return {scores, columns_, 1}; }
  row::TileView transposed_view_of(const float* scores) const { return {scores, 1, columns_}; }
  // How many of the keys the last of the rows sees.
  std::int64_t keys_of(std::int64_t rows, std::int64_t seen) const { return seen + rows - 1 - first_; }

  // The probabilities of a tile into scores_.
  void score(const Tile& query, std::int64_t rows, std::int64_t seen) {
    const std::int64_t used = row::padded(keys_of(rows, seen));
    row::multiply_tile(vectors_, {query.view(), keys_by_column_.get(), columns_, rows, query.d(), used, scores_.values(), columns_});
    scores_.exponentiate(rows, seen, used);
    scores_.to_probabilities(rows, used);
  }

  const row::Vectors vectors_ = row::best_vectors();
  const std::int64_t first_, count_, columns_;
  Tile keys_, values_;
  std::unique_ptr<float[]> keys_by_column_, values_by_column_;  // [d, columns]
  TileScores scores_;
  float *dkeys_ = nullptr, *dvalues_ = nullptr;
};

}  // namespace redoubt::engine::model
