// SPDX-License-Identifier: Apache-2.0
#include "engine/model/rotary.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace redoubt::engine::model {
namespace {

// Positions that are computed at once, and one block for all that there are.
constexpr int kBlockShift = 8, kWholeShift = 62;
constexpr std::int64_t kBlockRows = 1 << kBlockShift;

// Transformers computes frequencies in float; so do we, for the same angles at long positions.
std::vector<float> plain_frequencies(double theta, std::int64_t half) {
  std::vector<float> out(static_cast<std::size_t>(half));
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = 1.0f / std::pow(static_cast<float>(theta), static_cast<float>(2 * i) / static_cast<float>(2 * half));
  return out;
}

void stretch_llama3(const Rope& rope, std::vector<float>& frequencies) {
  const double low = rope.original_length / rope.low_frequency_factor,
               high = rope.original_length / rope.high_frequency_factor;
  for (auto& value : frequencies) {
    const double wavelength = 2 * std::numbers::pi / value;
    if (wavelength < high) continue;
    const double smooth = wavelength > low ? 0
                                           : (rope.original_length / wavelength - rope.low_frequency_factor) /
                                                 (rope.high_frequency_factor - rope.low_frequency_factor);
    value = static_cast<float>((1 - smooth) * value / rope.factor + smooth * value);
  }
}

// Fast dimensions keep their frequency, slow ones are stretched, those between are mixed.
void stretch_yarn(const Rope& rope, std::vector<float>& frequencies) {
  const auto dimensions = 2 * static_cast<double>(frequencies.size());
  const auto dimension_of = [&](double rotations) {
    return dimensions * std::log(rope.original_length / (rotations * 2 * std::numbers::pi)) / (2 * std::log(rope.theta));
  };
  double low = dimension_of(rope.beta_fast), high = dimension_of(rope.beta_slow);
  if (rope.whole_dimensions) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0), high = std::min(high, dimensions - 1);
  if (low == high) high += 0.001;
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const auto ramp = static_cast<float>(std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0));
    const float slow = frequencies[i] / static_cast<float>(rope.factor);
    frequencies[i] = slow * ramp + frequencies[i] * (1 - ramp);
  }
}

void stretch_by(const std::vector<float>& factors, std::vector<float>& frequencies) {
  for (std::size_t i = 0; i < frequencies.size(); ++i) frequencies[i] /= factors[i];
}

std::vector<float> frequencies_of(const Rope& rope, std::int64_t half, std::int64_t length) {
  double theta = rope.theta;
  const bool beyond = static_cast<double>(length) > rope.original_length;
  if (rope.kind == RopeKind::dynamic && beyond) {
    const auto size = static_cast<double>(2 * half);
    theta *=
        std::pow(rope.factor * static_cast<double>(length) / rope.original_length - (rope.factor - 1), size / (size - 2));
  }
  auto out = plain_frequencies(theta, half);
  if (rope.kind == RopeKind::linear)
    for (auto& value : out) value /= static_cast<float>(rope.factor);
  if (rope.kind == RopeKind::llama3) stretch_llama3(rope, out);
  if (rope.kind == RopeKind::yarn) stretch_yarn(rope, out);
  if (rope.kind == RopeKind::longrope) stretch_by(beyond ? rope.long_factors : rope.short_factors, out);
  return out;
}

}  // namespace

RotaryTable::RotaryTable(const Rope& rope, std::int64_t head_size, std::int64_t context_length)
    : rope_(rope), half_(static_cast<std::int64_t>(static_cast<double>(head_size) * rope.partial) / 2) {
  table_ = std::make_unique<Table>(table_of(1, context_length));
  if (rope.kind == RopeKind::longrope) long_table_ = std::make_unique<Table>(table_of(context_length, context_length));
}

RotaryTable::Table RotaryTable::table_of(std::int64_t length, std::int64_t rows) const {
  Table out;
  const auto count = static_cast<std::size_t>((rows + kBlockRows - 1) / kBlockRows);
  out.frequencies = frequencies_of(rope_, half_, length);
  out.blocks.resize(count);
  out.values.resize(count);
  out.once = std::make_unique<std::once_flag[]>(count);
  return out;
}

std::vector<float> RotaryTable::rows_of(const std::vector<float>& frequencies, std::int64_t first, std::int64_t rows) const {
  std::vector<float> out(static_cast<std::size_t>(2 * rows * half_));
  const auto scale = static_cast<float>(rope_.attention_factor);
  float *cosine = out.data(), *sine = cosine + rows * half_;
  for (std::int64_t position = first; position < first + rows; ++position)
    for (const float frequency : frequencies) {
      const float angle = static_cast<float>(position) * frequency;
      *cosine++ = std::cos(angle) * scale;
      *sine++ = std::sin(angle) * scale;
    }
  return out;
}

Angles RotaryTable::angles(std::int64_t length, std::int64_t first) const {
  Angles out;
  out.half_ = half_;
  if (half_ == 0) return out;
  const bool beyond = static_cast<double>(length) > rope_.original_length;
  if (rope_.kind == RopeKind::dynamic && beyond) {
    // Every length has its own.
    struct Own {
      std::vector<float> values;
      const float* block;
    };
    auto own = std::make_shared<Own>(Own{rows_of(frequencies_of(rope_, half_, length), first, length - first), nullptr});
    own->block = own->values.data();
    out.first_ = first;
    out.shift_ = kWholeShift;
    out.sine_offset_ = (length - first) * half_;
    out.blocks_ = &own->block;
    out.own_ = std::move(own);
    return out;
  }
  Table& table = rope_.kind == RopeKind::longrope && beyond ? *long_table_ : *table_;
  for (std::int64_t block = first / kBlockRows; block * kBlockRows < length; ++block) {
    const auto at = static_cast<std::size_t>(block);
    std::call_once(table.once[at], [&] {
      table.values[at] = rows_of(table.frequencies, block * kBlockRows, kBlockRows);
      table.blocks[at] = table.values[at].data();
    });
  }
  out.shift_ = kBlockShift;
  out.sine_offset_ = kBlockRows * half_;
  out.blocks_ = table.blocks.data();
  return out;
}

bool RotaryTable::keys_serve(std::int64_t length, std::int64_t other) const {
  if (rope_.kind != RopeKind::dynamic) return keys_stay(length, other);
  return length == other || is_fixed_up_to(std::max(length, other));
}

bool RotaryTable::keys_stay(std::int64_t length, std::int64_t other) const {
  const auto beyond = [&](std::int64_t n) { return static_cast<double>(n) > rope_.original_length; };
  return rope_.kind != RopeKind::longrope || beyond(length) == beyond(other);
}

bool RotaryTable::is_fixed_up_to(std::int64_t length) const {
  const bool by_length = rope_.kind == RopeKind::dynamic || rope_.kind == RopeKind::longrope;
  return !by_length || static_cast<double>(length) <= rope_.original_length;
}

}  // namespace redoubt::engine::model
