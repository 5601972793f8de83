// SPDX-License-Identifier: Apache-2.0
//
// How much a tokenizer's file may chain up and nest.
#pragma once

#include <cstddef>

namespace redoubt::engine::tokenizer {

inline constexpr std::size_t kStepsMax = 64;
inline constexpr int kDepthMax = 8;

}  // namespace redoubt::engine::tokenizer
