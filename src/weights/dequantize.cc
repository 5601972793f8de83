// SPDX-License-Identifier: Apache-2.0
#include "weights/dequantize.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/check.h"

namespace redoubt::weights {
namespace {

using Block = const std::uint8_t*;

template <class T>
T load(Block from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
float half(Block from) { return from_float16(load<std::uint16_t>(from)); }
float signed_byte(std::uint8_t byte) { return static_cast<std::int8_t>(byte); }

void f32(Block in, float* out) { *out = load<float>(in); }
void f16(Block in, float* out) { *out = half(in); }
void bf16(Block in, float* out) { *out = std::bit_cast<float>(std::uint32_t(load<std::uint16_t>(in)) << 16); }

void q4_0(Block in, float* out) {
  const float scale = half(in);
  for (int j = 0; j < 16; ++j) {
    out[j] = static_cast<float>((in[2 + j] & 15) - 8) * scale;
    out[j + 16] = static_cast<float>((in[2 + j] >> 4) - 8) * scale;
  }
}

void q4_1(Block in, float* out) {
  const float scale = half(in), least = half(in + 2);
  for (int j = 0; j < 16; ++j) {
    out[j] = static_cast<float>(in[4 + j] & 15) * scale + least;
    out[j + 16] = static_cast<float>(in[4 + j] >> 4) * scale + least;
  }
}

// Five bits: four in the halves of a byte, the fifth in a word of 32.
int five_bits(std::uint8_t byte, std::uint32_t high, int j, bool upper) {
  const int low = upper ? byte >> 4 : byte & 15;
  return low | static_cast<int>((high >> (upper ? j + 16 : j)) & 1) << 4;
}

void q5_0(Block in, float* out) {
  const float scale = half(in);
  const auto high = load<std::uint32_t>(in + 2);
  for (int j = 0; j < 16; ++j) {
    out[j] = static_cast<float>(five_bits(in[6 + j], high, j, false) - 16) * scale;
    out[j + 16] = static_cast<float>(five_bits(in[6 + j], high, j, true) - 16) * scale;
  }
}

void q5_1(Block in, float* out) {
  const float scale = half(in), least = half(in + 2);
  const auto high = load<std::uint32_t>(in + 4);
  for (int j = 0; j < 16; ++j) {
    out[j] = static_cast<float>(five_bits(in[8 + j], high, j, false)) * scale + least;
    out[j + 16] = static_cast<float>(five_bits(in[8 + j], high, j, true)) * scale + least;
  }
}

void q8_0(Block in, float* out) {
  const float scale = half(in);
  for (int j = 0; j < 32; ++j) out[j] = signed_byte(in[2 + j]) * scale;
}

// 16 groups of 16; a group's byte holds a scale and a minimum of four bits each. Two halves of 128 numbers share 32 bytes,
// two bits of each byte at a time.
void q2_k(Block in, float* out) {
  const Block scales = in, quants = in + 16;
  const float scale = half(in + 80), least = half(in + 82);
  for (int i = 0; i < 256; ++i) {
    const int group = i / 16, shift = 2 * ((i % 128) / 32), byte = i / 128 * 32 + i % 32;
    const float group_scale = scale * static_cast<float>(scales[group] & 15);
    const float group_least = least * static_cast<float>(scales[group] >> 4);
    out[i] = group_scale * static_cast<float>((quants[byte] >> shift) & 3) - group_least;
  }
}

// The third bit lies apart in a mask, and a bit that is not set takes 4 away. 16 scales of six bits lie in 12 bytes.
void q3_k(Block in, float* out) {
  const Block mask = in, quants = in + 32, scales = in + 96;
  const float scale = half(in + 108);
  for (int i = 0; i < 256; ++i) {
    const int group = i / 16, shift = 2 * ((i % 128) / 32), byte = i / 128 * 32 + i % 32;
    const int low = group < 8 ? scales[group] & 15 : scales[group - 8] >> 4;
    const int high = (scales[8 + group % 4] >> (2 * (group / 4))) & 3;
    const float group_scale = scale * static_cast<float>((low | high << 4) - 32);
    const int missing = (mask[i % 32] >> (i / 32)) & 1 ? 0 : 4;
    out[i] = group_scale * static_cast<float>(((quants[byte] >> shift) & 3) - missing);
  }
}

// Eight scales and eight minima of six bits in 12 bytes, as Q4_K and Q5_K have them.
std::array<int, 2> scale_and_least(Block packed, int group) {
  if (group < 4) return {packed[group] & 63, packed[group + 4] & 63};
  return {(packed[group + 4] & 15) | (packed[group - 4] >> 6) << 4, packed[group + 4] >> 4 | (packed[group] >> 6) << 4};
}

void q4_k(Block in, float* out) {
  const float scale = half(in), least = half(in + 2);
  for (int group = 0; group < 8; ++group) {
    const auto [a, b] = scale_and_least(in + 4, group);
    const float group_scale = scale * static_cast<float>(a), group_least = least * static_cast<float>(b);
    const Block quants = in + 16 + group / 2 * 32;
    for (int j = 0; j < 32; ++j)
      out[group * 32 + j] = group_scale * static_cast<float>(group % 2 ? quants[j] >> 4 : quants[j] & 15) - group_least;
  }
}

void q5_k(Block in, float* out) {
  const float scale = half(in), least = half(in + 2);
  for (int group = 0; group < 8; ++group) {
    const auto [a, b] = scale_and_least(in + 4, group);
    const float group_scale = scale * static_cast<float>(a), group_least = least * static_cast<float>(b);
    const Block high = in + 16, quants = in + 48 + group / 2 * 32;
    for (int j = 0; j < 32; ++j) {
      const int low = group % 2 ? quants[j] >> 4 : quants[j] & 15;
      out[group * 32 + j] = group_scale * static_cast<float>(low | ((high[j] >> group) & 1) << 4) - group_least;
    }
  }
}

void q6_k(Block in, float* out) {
  const Block low = in, high = in + 128, scales = in + 192;
  const float scale = half(in + 208);
  for (int i = 0; i < 256; ++i) {
    const int part = i / 128, within = i % 128, quarter = within / 32;
    const int byte = low[part * 64 + within % 64];
    const int four = within < 64 ? byte & 15 : byte >> 4;
    const int two = (high[part * 32 + within % 32] >> (2 * quarter)) & 3;
    out[i] = scale * signed_byte(scales[i / 16]) * static_cast<float>((four | two << 4) - 32);
  }
}

using Unpack = void (*)(Block, float*);

Unpack unpack_of(GgufType type) {
  switch (type) {
    case GgufType::f32: return f32;
    case GgufType::f16: return f16;
    case GgufType::bf16: return bf16;
    case GgufType::q4_0: return q4_0;
    case GgufType::q4_1: return q4_1;
    case GgufType::q5_0: return q5_0;
    case GgufType::q5_1: return q5_1;
    case GgufType::q8_0: return q8_0;
    case GgufType::q2_k: return q2_k;
    case GgufType::q3_k: return q3_k;
    case GgufType::q4_k: return q4_k;
    case GgufType::q5_k: return q5_k;
    case GgufType::q6_k: return q6_k;
  }
  CHECK(false);
}

}  // namespace

float from_float16(std::uint16_t bits) {
  const std::uint32_t sign = std::uint32_t(bits & 0x8000) << 16, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7F800000 | fraction << 13);
  if (exponent == 0) {
    const float size = std::ldexp(static_cast<float>(fraction), -24);
    return sign ? -size : size;
  }
  return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
}

std::uint16_t to_bfloat16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) return static_cast<std::uint16_t>(bits >> 16 | 0x40);
  return static_cast<std::uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

void dequantize(GgufType type, ByteView bytes, std::span<float> into) {
  const auto block = block_of(type);
  CHECK(into.size() % block.elements == 0 && bytes.size() == into.size() / block.elements * block.bytes);
  const Unpack unpack = unpack_of(type);
  for (std::size_t i = 0; i < into.size() / block.elements; ++i)
    unpack(bytes.data() + i * block.bytes, into.data() + i * block.elements);
}

}  // namespace redoubt::weights
