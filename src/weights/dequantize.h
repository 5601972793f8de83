// SPDX-License-Identifier: Apache-2.0
//
// Numbers out of GGUF's blocks, as ggml defines them, and bfloat16 out of numbers.
#pragma once

#include <span>

#include "weights/gguf.h"

namespace redoubt::weights {

// `bytes` must be whole blocks that hold `into.size()` numbers. The same single-precision operations in the same order as
// ggml's reference, so the values are equal bit for bit.
void dequantize(GgufType type, ByteView bytes, std::span<float> into);

// Rounds to nearest, ties to even; a NaN stays a NaN.
std::uint16_t to_bfloat16(float value);
float from_float16(std::uint16_t bits);

}  // namespace redoubt::weights
