// SPDX-License-Identifier: Apache-2.0
//
// Rotary position angles (RoFormer, arXiv 2104.09864) with the scalings of Transformers: linear, dynamic NTK, YaRN
// (arXiv 2309.00071), LongRoPE (arXiv 2402.13753) and Llama 3's.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "engine/model/rope.h"

namespace redoubt::engine::model {

// The angles of a sequence's positions from some position on. Valid as long as their table.
class Angles {
 public:
  const float* cosine(std::int64_t position) const {
    const std::int64_t place = position - first_;
    return half_ == 0 ? nullptr : blocks_[place >> shift_] + (place & ((std::int64_t{1} << shift_) - 1)) * half_;
  }
  const float* sine(std::int64_t position) const { return half_ == 0 ? nullptr : cosine(position) + sine_offset_; }
  std::int64_t half() const { return half_; }  // pairs of a head that are turned; 0: none

 private:
  friend class RotaryTable;
  const float* const* blocks_ = nullptr;  // each of 2^shift positions: [positions, half] cosines, then as many sines
  int shift_ = 0;
  std::int64_t half_ = 0, first_ = 0, sine_offset_ = 0;
  std::shared_ptr<const void> own_;  // what the blocks lie in, where they are not the table's
};

// Positions are computed when a sequence first needs them: a model may promise far more of them than are ever used. Safe
// from several threads.
class RotaryTable {
 public:
  RotaryTable() = default;  // turns nothing
  RotaryTable(const Rope& rope, std::int64_t head_size, std::int64_t context_length);

  // For positions `first` to length - 1 of a sequence of `length` tokens, at most the context, which decides what dynamic
  // and longrope do.
  Angles angles(std::int64_t length, std::int64_t first = 0) const;
  // Whether keys turned in a prompt of one length serve in a prompt of the other.
  bool keys_serve(std::int64_t length, std::int64_t other) const;
  // Whether they serve where the sequence grows from one length to the other token by token. Transformers computes a LongRoPE sequence
  // anew where it grows beyond the original context, and keeps the keys of all others.
  bool keys_stay(std::int64_t length, std::int64_t other) const;
  // Whether a position has the same angle in every sequence of up to `length` tokens.
  bool is_fixed_up_to(std::int64_t length) const;

 private:
  struct Table {
    std::vector<float> frequencies;
    std::vector<const float*> blocks;
    std::vector<std::vector<float>> values;
    std::unique_ptr<std::once_flag[]> once;
  };
  Table table_of(std::int64_t length, std::int64_t rows) const;
  std::vector<float> rows_of(const std::vector<float>& frequencies, std::int64_t first, std::int64_t rows) const;

  Rope rope_;
  std::int64_t half_ = 0;
  std::unique_ptr<Table> table_, long_table_;
};

}  // namespace redoubt::engine::model
