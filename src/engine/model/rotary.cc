// SPDX-License-Identifier: Apache-2.0
#include "engine/model/rotary.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/torch.h"

namespace redoubt::engine::model {
namespace {

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
  const auto original = static_cast<std::int64_t>(rope.original_length);
  const bool by_length = rope.kind == RopeKind::dynamic || rope.kind == RopeKind::longrope;
  table_ = table_of(frequencies_of(rope, half_, 1), 0, by_length ? std::min(original, context_length) : context_length);
  if (rope.kind == RopeKind::longrope && context_length > original)
    long_table_ = table_of(frequencies_of(rope, half_, context_length), 0, context_length);
}

RotaryTable::Table RotaryTable::table_of(const std::vector<float>& frequencies, std::int64_t first, std::int64_t end) const {
  Table out;
  const auto size = static_cast<std::size_t>((end - first) * half_);
  out.cosine.resize(size);
  out.sine.resize(size);
  const auto scale = static_cast<float>(rope_.attention_factor);
  at::parallel_for(first, end, 256, [&](std::int64_t begin, std::int64_t stop) {
    for (std::int64_t position = begin; position < stop; ++position)
      for (std::int64_t i = 0; i < half_; ++i) {
        const float angle = static_cast<float>(position) * frequencies[static_cast<std::size_t>(i)];
        const auto at = static_cast<std::size_t>((position - first) * half_ + i);
        out.cosine[at] = std::cos(angle) * scale;
        out.sine[at] = std::sin(angle) * scale;
      }
  });
  return out;
}

Angles RotaryTable::angles(std::int64_t length, std::int64_t first) const {
  Angles out;
  out.half_ = half_;
  if (half_ == 0) return out;
  const bool beyond = static_cast<double>(length) > rope_.original_length;
  if (rope_.kind == RopeKind::dynamic && beyond) {
    // Every length has its own.
    auto table = table_of(frequencies_of(rope_, half_, length), first, length);
    table.cosine.insert(table.cosine.end(), table.sine.begin(), table.sine.end());
    auto own = std::make_shared<const std::vector<float>>(std::move(table.cosine));
    out.first_ = first;
    out.cosine_ = own->data();
    out.sine_ = own->data() + (length - first) * half_;
    out.own_ = std::move(own);
    return out;
  }
  const Table& table = rope_.kind == RopeKind::longrope && beyond ? long_table_ : table_;
  out.cosine_ = table.cosine.data();
  out.sine_ = table.sine.data();
  return out;
}

bool RotaryTable::keys_serve(std::int64_t length, std::int64_t other) const {
  const auto beyond = [&](std::int64_t n) { return static_cast<double>(n) > rope_.original_length; };
  return rope_.kind != RopeKind::longrope || beyond(length) == beyond(other);
}

}  // namespace redoubt::engine::model
