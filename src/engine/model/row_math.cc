// SPDX-License-Identifier: Apache-2.0
#include "engine/model/row_math.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "engine/model/vectorised.h"

namespace redoubt::engine::model::row {
namespace {

inline float widen(std::uint16_t bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }

inline std::uint16_t narrow(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  // Rounding could carry a NaN into infinity.
  return static_cast<std::uint16_t>((bits & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : rounded);
}

// e^x to 2 units in the last place for the float range: 2^n times a polynomial of degree 6 on [-ln 2 / 2, ln 2 / 2]
// (Cephes expf). Written out so that loops over it become vector code.
inline float exponential(float x) {
  x = x < -87.0f ? -87.0f : (x > 88.0f ? 88.0f : x);
  const float shifted = x * 1.44269504088896341f + 12582912.0f;  // 1.5 * 2^23 rounds to the nearest integer
  const float n = shifted - 12582912.0f;
  const float r = x - n * 0.693359375f + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const auto power = static_cast<std::uint32_t>(static_cast<std::int32_t>(n) + 127) << 23;
  return p * std::bit_cast<float>(power);
}

inline float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }

// Close to 0 the difference of the exponentials would lose digits; a polynomial does not.
inline float hyperbolic_tangent(float x) {
  const float square = x * x;
  const float near = x * (1.0f + square * (-1.0f / 3 + square * (2.0f / 15 - square * (17.0f / 315))));
  const float far = 1.0f - 2.0f / (exponential(2.0f * x) + 1.0f);
  return square < 0.04f ? near : far;
}

// gelu(x) = x * sigmoid(2u) is x / 2 * (1 + tanh u) with u = sqrt(2 / pi) (x + 0.044715 x^3).
constexpr float kGelu = 1.5957691216057308f, kGeluCube = 0.044715f;  // 2 sqrt(2 / pi)
inline float gelu_sigmoid(float x) { return sigmoid(kGelu * (x + kGeluCube * x * x * x)); }
inline float gelu_slope(float x, float s) { return s + x * s * (1.0f - s) * kGelu * (1.0f + 3.0f * kGeluCube * x * x); }

const std::uint16_t* bits_of(const bf16* values) { return reinterpret_cast<const std::uint16_t*>(values); }

}  // namespace

REDOUBT_VECTORISED static void load_int8_bits(const std::int8_t* from, const std::uint16_t* scales, float* to, std::int64_t n) {
  constexpr std::int64_t kGroup = 64;
  for (std::int64_t begin = 0; begin < n; begin += kGroup) {
    const float scale = widen(scales[begin / kGroup]);
    const std::int64_t end = n < begin + kGroup ? n : begin + kGroup;
    for (std::int64_t i = begin; i < end; ++i) to[i] = scale * static_cast<float>(from[i]);
  }
}
void load_int8(const std::int8_t* from, const bf16* scales, float* to, std::int64_t n) { load_int8_bits(from, bits_of(scales), to, n); }

REDOUBT_VECTORISED static void load_int4_bits(const std::uint8_t* from, const std::uint16_t* scales, float* to, std::int64_t n) {
  constexpr std::int64_t kHalf = 16;
  for (std::int64_t group = 0; group < n / (2 * kHalf); ++group, from += kHalf, to += 2 * kHalf) {
    const float scale = widen(scales[group]);
    for (std::int64_t i = 0; i < kHalf; ++i) {
      to[i] = scale * static_cast<float>((from[i] & 15) - 8);
      to[i + kHalf] = scale * static_cast<float>((from[i] >> 4) - 8);
    }
  }
}
void load_int4(const std::uint8_t* from, const bf16* scales, float* to, std::int64_t n) { load_int4_bits(from, bits_of(scales), to, n); }

REDOUBT_VECTORISED void load(const float* from, float* to, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) to[i] = from[i];
}

REDOUBT_VECTORISED static void load_bits(const std::uint16_t* from, float* to, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) to[i] = widen(from[i]);
}
void load(const bf16* from, float* to, std::int64_t n) { load_bits(bits_of(from), to, n); }

void store(const float* from, float* to, std::int64_t n) { load(from, to, n); }

REDOUBT_VECTORISED static void store_bits(const float* from, std::uint16_t* to, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) to[i] = narrow(from[i]);
}
void store(const float* from, bf16* to, std::int64_t n) { store_bits(from, reinterpret_cast<std::uint16_t*>(to), n); }

REDOUBT_VECTORISED float dot(const float* a, const float* b, std::int64_t n) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

REDOUBT_VECTORISED static float dot_bits(const float* a, const std::uint16_t* b, std::int64_t n) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < n; ++i) sum += a[i] * widen(b[i]);
  return sum;
}
float dot(const float* a, const bf16* b, std::int64_t n) { return dot_bits(a, bits_of(b), n); }

REDOUBT_VECTORISED void add_scaled(float* into, float scale, const float* from, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) into[i] += scale * from[i];
}

REDOUBT_VECTORISED static void add_scaled_bits(float* into, float scale, const std::uint16_t* from, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) into[i] += scale * widen(from[i]);
}
void add_scaled(float* into, float scale, const bf16* from, std::int64_t n) {
  add_scaled_bits(into, scale, bits_of(from), n);
}

REDOUBT_VECTORISED void rms_norm(const float* x, const float* weight, float epsilon, float* out, std::int64_t n) {
  float squares = 0;
#pragma omp simd reduction(+ : squares)
  for (std::int64_t i = 0; i < n; ++i) squares += x[i] * x[i];
  const float inverse = 1.0f / std::sqrt(squares / static_cast<float>(n) + epsilon);
  for (std::int64_t i = 0; i < n; ++i) out[i] = x[i] * inverse * weight[i];
}

REDOUBT_VECTORISED void rms_norm_backward(const float* x, const float* weight, float epsilon, const float* dy, float* dx,
                                          std::int64_t n) {
  float squares = 0, along = 0;
#pragma omp simd reduction(+ : squares, along)
  for (std::int64_t i = 0; i < n; ++i) {
    squares += x[i] * x[i];
    along += x[i] * weight[i] * dy[i];
  }
  const float inverse = 1.0f / std::sqrt(squares / static_cast<float>(n) + epsilon);
  const float pull = along * inverse * inverse / static_cast<float>(n);
  for (std::int64_t i = 0; i < n; ++i) dx[i] += inverse * (weight[i] * dy[i] - x[i] * pull);
}

REDOUBT_VECTORISED void layer_norm(const float* x, const float* weight, const float* bias, float epsilon, float* out,
                                   std::int64_t n) {
  float sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < n; ++i) sum += x[i];
  const float mean = sum / static_cast<float>(n);
#pragma omp simd reduction(+ : squares)
  for (std::int64_t i = 0; i < n; ++i) squares += (x[i] - mean) * (x[i] - mean);
  const float inverse = 1.0f / std::sqrt(squares / static_cast<float>(n) + epsilon);
  for (std::int64_t i = 0; i < n; ++i) out[i] = (x[i] - mean) * inverse * weight[i] + bias[i];
}

REDOUBT_VECTORISED void layer_norm_backward(const float* x, const float* weight, float epsilon, const float* dy, float* dx,
                                            std::int64_t n) {
  float sum = 0, squares = 0, pull = 0, along = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < n; ++i) sum += x[i];
  const float mean = sum / static_cast<float>(n);
#pragma omp simd reduction(+ : squares, pull, along)
  for (std::int64_t i = 0; i < n; ++i) {
    squares += (x[i] - mean) * (x[i] - mean);
    pull += weight[i] * dy[i];
    along += (x[i] - mean) * weight[i] * dy[i];
  }
  const float inverse = 1.0f / std::sqrt(squares / static_cast<float>(n) + epsilon);
  pull /= static_cast<float>(n);
  along *= inverse * inverse / static_cast<float>(n);
  for (std::int64_t i = 0; i < n; ++i) dx[i] += inverse * (weight[i] * dy[i] - pull - (x[i] - mean) * along);
}

REDOUBT_VECTORISED void swiglu(const float* gate, const float* up, float* out, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = gate[i] / (1.0f + exponential(-gate[i])) * up[i];
}

REDOUBT_VECTORISED void swiglu_backward(float* gate, float* up, const float* dout, std::int64_t n) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) {
    const float sigmoid = 1.0f / (1.0f + exponential(-gate[i]));
    const float silu = gate[i] * sigmoid;
    gate[i] = dout[i] * up[i] * (sigmoid + silu * (1.0f - sigmoid));
    up[i] = dout[i] * silu;
  }
}

REDOUBT_VECTORISED void geglu(const float* gate, const float* up, float* out, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = gate[i] * gelu_sigmoid(gate[i]) * up[i];
}

REDOUBT_VECTORISED void geglu_backward(float* gate, float* up, const float* dout, std::int64_t n) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) {
    const float x = gate[i], s = gelu_sigmoid(x);
    gate[i] = dout[i] * up[i] * gelu_slope(x, s);
    up[i] = dout[i] * x * s;
  }
}

REDOUBT_VECTORISED void gelu(const float* x, float* out, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = x[i] * gelu_sigmoid(x[i]);
}

REDOUBT_VECTORISED void gelu_backward(float* x, const float* dout, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) x[i] = dout[i] * gelu_slope(x[i], gelu_sigmoid(x[i]));
}

REDOUBT_VECTORISED void soft_cap(float* x, float scale, float cap, std::int64_t n) {
  const float inverse = scale / cap;
  for (std::int64_t i = 0; i < n; ++i) x[i] = cap * hyperbolic_tangent(x[i] * inverse);
}

REDOUBT_VECTORISED void soft_cap_backward(const float* x, float cap, float* gradient, std::int64_t n) {
  const float inverse = 1.0f / cap;
  for (std::int64_t i = 0; i < n; ++i) gradient[i] *= 1.0f - x[i] * inverse * (x[i] * inverse);
}

REDOUBT_VECTORISED void rotate(float* head, const float* cosine, const float* sine, float direction, std::int64_t half) {
#pragma omp simd
  for (std::int64_t i = 0; i < half; ++i) {
    const float a = head[i], b = head[half + i], s = direction * sine[i];
    head[i] = a * cosine[i] - b * s;
    head[half + i] = b * cosine[i] + a * s;
  }
}

// Exponentials of scale * x relative to the greatest, which is answered with their sum.
struct Exponentials {
  float max, sum;
};
REDOUBT_INLINE static Exponentials exponentiate(float* x, float scale, std::int64_t n) {
  float most = x[0];
#pragma omp simd reduction(max : most)
  for (std::int64_t i = 0; i < n; ++i) most = x[i] > most ? x[i] : most;
  most *= scale;
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < n; ++i) {
    x[i] = exponential(x[i] * scale - most);
    sum += x[i];
  }
  return {most, sum};
}

REDOUBT_VECTORISED float exponentials(float* x, float scale, std::int64_t n) { return exponentiate(x, scale, n).sum; }

REDOUBT_VECTORISED void multiply_by(float* x, float factor, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) x[i] *= factor;
}

REDOUBT_VECTORISED Normaliser softmax(float* x, float scale, std::int64_t n) {
  const auto [most, sum] = exponentiate(x, scale, n);
  const float inverse = 1.0f / sum;
  for (std::int64_t i = 0; i < n; ++i) x[i] *= inverse;
  return {most, std::log(sum)};
}

REDOUBT_VECTORISED static float most_of(const float* x, std::int64_t n) {
  float most = -std::numeric_limits<float>::infinity();
#pragma omp simd reduction(max : most)
  for (std::int64_t i = 0; i < n; ++i) most = x[i] > most ? x[i] : most;
  return most;
}

REDOUBT_VECTORISED static float sum_exponentials(const float* x, float max, std::int64_t n) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < n; ++i) sum += exponential(x[i] - max);
  return sum;
}

void RunningSum::add(const RunningSum& other) {
  if (other.max > max) sum *= std::exp(max - other.max), max = other.max;
  sum += other.sum * std::exp(other.max - max);
}

bool add_exponentials(const float* x, std::int64_t n, RunningSum& to) {
  const float most = most_of(x, n);
  const bool greater = most > to.max;
  if (greater) to.sum *= std::exp(to.max - most), to.max = most;
  to.sum += sum_exponentials(x, to.max, n);
  return greater;
}

REDOUBT_VECTORISED void softmax_backward(const float* p, float scale, float* dp, std::int64_t n) {
  float along = 0;
#pragma omp simd reduction(+ : along)
  for (std::int64_t i = 0; i < n; ++i) along += p[i] * dp[i];
  for (std::int64_t i = 0; i < n; ++i) dp[i] = p[i] * (dp[i] - along) * scale;
}

REDOUBT_VECTORISED void drop(float* x, double rate, std::uint64_t key, std::int64_t n) {
  const auto low = static_cast<std::uint32_t>(key), high = static_cast<std::uint32_t>(key >> 32);
  const auto threshold = static_cast<std::uint32_t>(std::ldexp(rate, 32));
  const float scale = static_cast<float>(1 / (1 - rate));
  for (std::int64_t i = 0; i < n; ++i) {
    // Two rounds of a 32-bit mixer, each keyed with its half.
    std::uint32_t h = (static_cast<std::uint32_t>(i) ^ low) * 0x9e3779b1u;
    h = (h ^ (h >> 16)) * 0x7feb352du;
    h = (h ^ (h >> 15) ^ high) * 0x846ca68bu;
    h = (h ^ (h >> 16)) * 0x7feb352du;
    h ^= h >> 15;
    x[i] = h < threshold ? 0.0f : x[i] * scale;
  }
}

std::int64_t argmax(const float* x, std::int64_t n) {
  constexpr std::int64_t kBlock = 512;  // looked through one by one only where the greatest lies
  std::int64_t block = 0;
  float best = -std::numeric_limits<float>::infinity();
  for (std::int64_t begin = 0; begin < n; begin += kBlock) {
    const float most = most_of(x + begin, std::min(kBlock, n - begin));
    if (most > best) best = most, block = begin;
  }
  for (std::int64_t i = block; i < n; ++i)
    if (x[i] == best) return i;
  return 0;
}

}  // namespace redoubt::engine::model::row
