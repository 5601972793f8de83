// SPDX-License-Identifier: Apache-2.0
//
// The row-wise arithmetic of a layer, in float whatever the storage type. Each function works on one row; the
// compiler makes one version a vector width and the loader picks the machine's (AVX-512, AVX2, plain).
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>
#include <limits>

namespace redoubt::engine::model::row {

using bf16 = c10::BFloat16;

void load(const float* from, float* to, std::int64_t n);
void load(const bf16* from, float* to, std::int64_t n);
// Weights in 8 bits, a scale for every 64, and in 4 bits as row_products.h lays them out.
void load_int8(const std::int8_t* from, const bf16* scales, float* to, std::int64_t n);
void load_int4(const std::uint8_t* from, const bf16* scales, float* to, std::int64_t n);
void store(const float* from, float* to, std::int64_t n);
void store(const float* from, bf16* to, std::int64_t n);  // round to nearest even

float dot(const float* a, const float* b, std::int64_t n);
float dot(const float* a, const bf16* b, std::int64_t n);
void add_scaled(float* into, float scale, const float* from, std::int64_t n);
void add_scaled(float* into, float scale, const bf16* from, std::int64_t n);

// out = x / sqrt(mean(x^2) + epsilon) * weight
void rms_norm(const float* x, const float* weight, float epsilon, float* out, std::int64_t n);
// dx += the gradient of rms_norm at x for the output gradient dy.
void rms_norm_backward(const float* x, const float* weight, float epsilon, const float* dy, float* dx, std::int64_t n);

// out = (x - mean) / sqrt(variance + epsilon) * weight + bias
void layer_norm(const float* x, const float* weight, const float* bias, float epsilon, float* out, std::int64_t n);
void layer_norm_backward(const float* x, const float* weight, float epsilon, const float* dy, float* dx, std::int64_t n);

// out = silu(gate) * up
void swiglu(const float* gate, const float* up, float* out, std::int64_t n);
// gate and up are replaced by their gradients for the output gradient dout.
void swiglu_backward(float* gate, float* up, const float* dout, std::int64_t n);
// The same with the approximation of gelu by tanh, and that alone; x is replaced by its gradient.
void geglu(const float* gate, const float* up, float* out, std::int64_t n);
void geglu_backward(float* gate, float* up, const float* dout, std::int64_t n);
void gelu(const float* x, float* out, std::int64_t n);
void gelu_backward(float* x, const float* dout, std::int64_t n);

// x = cap * tanh(scale * x / cap)
void soft_cap(float* x, float scale, float cap, std::int64_t n);
// gradient *= what soft_cap's derivative by its argument was, where it answered x.
void soft_cap_backward(const float* x, float cap, float* gradient, std::int64_t n);

// Turns the two halves of a head's first 2 * half values: (a, b) -> (a cos - b sin, b cos + a sin); direction -1 turns back.
void rotate(float* head, const float* cosine, const float* sine, float direction, std::int64_t half);

// In place: softmax of scale * x over n values. Answers max and log of the sum, so that log-softmax is x*scale - both.
struct Normaliser {
  float max, log_sum;
};
Normaliser softmax(float* x, float scale, std::int64_t n);
// In place: what softmax divides by the sum, which is answered. The greatest becomes 1.
float exponentials(float* x, float scale, std::int64_t n);
void multiply_by(float* x, float factor, std::int64_t n);
// The sum of exponentials of values that come piece by piece, relative to the greatest so far.
struct RunningSum {
  float max = -std::numeric_limits<float>::infinity(), sum = 0;
  void add(const RunningSum& other);
};
// Answers whether one of the n values is greater than all before.
bool add_exponentials(const float* x, std::int64_t n, RunningSum& to);
// dp = p * (dp - their dot product) * scale: the gradient of softmax's argument for that of its result p.
void softmax_backward(const float* p, float scale, float* dp, std::int64_t n);
// Zeroes each element with probability `rate` (by `key` and place), divides the others by 1 - rate.
void drop(float* x, double rate, std::uint64_t key, std::int64_t n);
// The place of the greatest value, of equals the first; NaN is never it. 0 where there is none.
std::int64_t argmax(const float* x, std::int64_t n);

}  // namespace redoubt::engine::model::row
