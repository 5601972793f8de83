// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "engine/torch.h"

namespace redoubt::engine::model {

inline at::Tensor random_halves(at::IntArrayRef sizes) { return at::randn(sizes).to(at::kBFloat16); }

// What a product in bf16 may be off: half a unit of the last of its eight bits, and the order of fp32 sums.
inline void expect_rounded(const at::Tensor& ours, const at::Tensor& exact, const std::string& what = "the product") {
  const auto off = (ours.to(at::kFloat) - exact).abs(), allowed = exact.abs() / 256 + 1e-4f * exact.abs().max();
  EXPECT_TRUE(off.le(allowed).all().item<bool>()) << what << ": off by up to " << (off - allowed).max().item<float>() << " too much";
}

}  // namespace redoubt::engine::model
