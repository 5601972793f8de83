// SPDX-License-Identifier: Apache-2.0
//
// The scores of a tile of queries and the keys of their sequence, [kRows, columns] in fp32: how they become probabilities, and how the gradient
// of those becomes that of the scores. Each query sees one key more than the one before.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <utility>

#include "engine/model/row_math.h"

namespace redoubt::engine::model {

// How scores become probabilities: softmax of scale * query key^T, capped, over the last `window` keys.
struct Scoring {
  float scale = 1;
  float softcap = 0;        // 0: none, else cap * tanh(score / cap)
  std::int64_t window = 0;  // 0: all keys up to the query's own
  // The first of `seen` keys that counts.
  std::int64_t first(std::int64_t seen) const { return window > 0 && seen > window ? seen - window : 0; }
};

// Memory that is written before it is read.
inline std::unique_ptr<float[]> floats(std::int64_t count) { return std::make_unique_for_overwrite<float[]>(static_cast<std::size_t>(count)); }

class TileScores {
 public:
  static constexpr std::int64_t kRows = 16;

  // Columns are keys from `first` of the sequence on.
  TileScores(std::int64_t columns, std::int64_t first, const Scoring& scoring) : columns_(columns), first_(first), scoring_(scoring), values_(floats(kRows * columns)) {}

  std::int64_t columns() const { return columns_; }
  float* values() { return values_.get(); }
  const float* values() const { return values_.get(); }
  float* gradients() { return gradients_.get(); }
  const float* gradients() const { return gradients_.get(); }
  // To be called before there are gradients.
  void keep_for_gradients() {
    gradients_ = floats(kRows * columns_);
    if (scoring_.softcap > 0) capped_ = floats(kRows * columns_);
  }

  // Products become exponentials relative to the greatest of their row, which becomes 1; what a row does not see is zero, up to the first `used`
  // columns. The first of the rows sees `seen` keys of the sequence.
  void exponentiate(std::int64_t rows, std::int64_t seen, std::int64_t used) {
    for (std::int64_t r = 0; r < rows; ++r) {
      const auto [begin, end] = seen_by(seen + r);
      float* at = values_.get() + r * columns_;
      if (scoring_.softcap > 0) row::soft_cap(at + begin, scoring_.scale, scoring_.softcap, end - begin);
      if (capped_) std::copy(at + begin, at + end, capped_.get() + r * columns_ + begin);
      sums_[static_cast<std::size_t>(r)] = row::exponentials(at + begin, scoring_.softcap > 0 ? 1 : scoring_.scale, end - begin);
      clear_rest(at, begin, end, used);
    }
  }
  // What a row's exponentials are to be multiplied by to be probabilities.
  float share_of(std::int64_t r) const { return 1 / sums_[static_cast<std::size_t>(r)]; }
  void to_probabilities(std::int64_t rows, std::int64_t used) {
    for (std::int64_t r = 0; r < rows; ++r) row::multiply_by(values_.get() + r * columns_, share_of(r), used);
  }
  // The gradients of probabilities become those of the products.
  void to_gradients_of_products(std::int64_t rows, std::int64_t seen, std::int64_t used) {
    for (std::int64_t r = 0; r < rows; ++r) {
      const auto [begin, end] = seen_by(seen + r);
      float* at = gradients_.get() + r * columns_;
      row::softmax_backward(values_.get() + r * columns_ + begin, scoring_.scale, at + begin, end - begin);
      if (capped_) row::soft_cap_backward(capped_.get() + r * columns_ + begin, scoring_.softcap, at + begin, end - begin);
      clear_rest(at, begin, end, used);
    }
  }

 private:
  std::pair<std::int64_t, std::int64_t> seen_by(std::int64_t seen) const { return {scoring_.first(seen) - first_, seen - first_}; }
  static void clear_rest(float* row, std::int64_t begin, std::int64_t end, std::int64_t used) {
    std::fill(row, row + begin, 0.0f);
    std::fill(row + end, row + used, 0.0f);
  }

  const std::int64_t columns_, first_;
  const Scoring scoring_;
  std::unique_ptr<float[]> values_, gradients_, capped_;
  std::array<float, kRows> sums_ = {};
};

}  // namespace redoubt::engine::model
