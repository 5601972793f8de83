// SPDX-License-Identifier: Apache-2.0
//
// The row arithmetic of row_math.h over whole tensors, rows shared out among the threads. Tensors are contiguous and of
// the model's precision, norm weights fp32.
#pragma once

#include "engine/model/row_math.h"
#include "engine/model/weights.h"
#include "engine/torch.h"

namespace redoubt::engine::model {

// Calls f with a value of the tensor's element type (float or bf16).
template <class F>
void with_type_of(const at::Tensor& tensor, F&& f) {
  if (tensor.scalar_type() == at::kFloat)
    f(float{});
  else
    f(row::bf16{});
}

// Rows that one task should have so that handing it out costs less than doing it.
inline std::int64_t grain_of(std::int64_t row_size) { return std::max<std::int64_t>(1, 8192 / row_size); }

at::Tensor normalise(const at::Tensor& x, const Norm& norm, double epsilon);
// dx += the norm's input gradient.
void normalise_backward(const at::Tensor& x, const Norm& norm, double epsilon, const at::Tensor& dy, at::Tensor& dx);

// The feed-forward part's activation: [rows, 2 * n] (gate, up) -> [rows, n], or [rows, n] -> [rows, n] without a gate.
at::Tensor activate(const at::Tensor& in, Activation activation);
// Replaces `in` by its gradient.
void activate_backward(at::Tensor& in, Activation activation, const at::Tensor& dout);

// Scrambles a number (SplitMix64's finaliser): near inputs have unrelated outputs.
std::uint64_t mix(std::uint64_t value);
// x with each element zero with probability `rate`, the others over 1 - rate. The choice depends on `key` and place alone.
at::Tensor drop(const at::Tensor& x, double rate, std::uint64_t key);

// x W^T + bias for [rows, inputs], [outputs, inputs] and [outputs] (may be undefined); few rows (decoding) take a
// matrix-vector kernel.
at::Tensor multiply_transposed(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias = {});

}  // namespace redoubt::engine::model
