// SPDX-License-Identifier: Apache-2.0
//
// Rotary position angles (RoFormer, arXiv 2104.09864), with Llama 3's scaling of the low frequencies.
#pragma once

#include <vector>

#include "engine/model/config.h"

namespace redoubt::engine::model {

class RotaryTable {
 public:
  explicit RotaryTable(const Config& config);
  const float* cosine(std::int64_t position) const { return cosine_.data() + position * half_; }
  const float* sine(std::int64_t position) const { return sine_.data() + position * half_; }
  std::int64_t half() const { return half_; }

 private:
  std::int64_t half_;
  std::vector<float> cosine_, sine_;  // [context_length, half]
};

}  // namespace redoubt::engine::model
