// SPDX-License-Identifier: Apache-2.0
//
// Rotary position angles (RoFormer, arXiv 2104.09864) with the scalings of Transformers: linear, dynamic NTK, YaRN
// (arXiv 2309.00071), LongRoPE (arXiv 2402.13753) and Llama 3's.
#pragma once

#include <memory>
#include <vector>

#include "engine/model/rope.h"

namespace redoubt::engine::model {

// The angles of a sequence's positions from some position on. Valid as long as their table.
class Angles {
 public:
  const float* cosine(std::int64_t position) const { return cosine_ + (position - first_) * half_; }
  const float* sine(std::int64_t position) const { return sine_ + (position - first_) * half_; }
  std::int64_t half() const { return half_; }  // pairs of a head that are turned; 0: none

 private:
  friend class RotaryTable;
  const float *cosine_ = nullptr, *sine_ = nullptr;
  std::int64_t half_ = 0, first_ = 0;
  std::shared_ptr<const std::vector<float>> own_;
};

class RotaryTable {
 public:
  RotaryTable() = default;  // turns nothing
  RotaryTable(const Rope& rope, std::int64_t head_size, std::int64_t context_length);

  // For positions `first` to length - 1 of a sequence of `length` tokens, which decides what dynamic and longrope do.
  Angles angles(std::int64_t length, std::int64_t first = 0) const;
  // Whether keys turned in a sequence of one length serve in one of the other. Transformers computes a LongRoPE sequence
  // anew where it grows beyond the original context, and keeps the keys of all others.
  bool keys_serve(std::int64_t length, std::int64_t other) const;

 private:
  struct Table {
    std::vector<float> cosine, sine;  // [positions, half]
  };
  Table table_of(const std::vector<float>& frequencies, std::int64_t first, std::int64_t end) const;

  Rope rope_;
  std::int64_t half_ = 0;
  Table table_, long_table_;
};

}  // namespace redoubt::engine::model
