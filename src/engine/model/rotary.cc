// SPDX-License-Identifier: Apache-2.0
#include "engine/model/rotary.h"

#include <cmath>
#include <numbers>

namespace redoubt::engine::model {
namespace {

// Transformers computes these in float; so do we, for the same angles at long positions.
float frequency(const Config& config, std::int64_t i) {
  const float exponent = static_cast<float>(2 * i) / static_cast<float>(config.head_size);
  float value = 1.0f / std::pow(static_cast<float>(config.rope_theta), exponent);
  value /= static_cast<float>(config.rope_linear_factor);
  if (!config.llama3_scaling) return value;
  const auto& scaling = *config.llama3_scaling;
  const double wavelength = 2 * std::numbers::pi / value;
  const double low = scaling.original_context_length / scaling.low_frequency_factor;
  const double high = scaling.original_context_length / scaling.high_frequency_factor;
  if (wavelength < high) return value;
  if (wavelength > low) return static_cast<float>(value / scaling.factor);
  const double smooth = (scaling.original_context_length / wavelength - scaling.low_frequency_factor) /
                        (scaling.high_frequency_factor - scaling.low_frequency_factor);
  return static_cast<float>((1 - smooth) * value / scaling.factor + smooth * value);
}

}  // namespace

RotaryTable::RotaryTable(const Config& config) : half_(config.head_size / 2) {
  const auto size = static_cast<std::size_t>(config.context_length * half_);
  cosine_.resize(size);
  sine_.resize(size);
  for (std::int64_t i = 0; i < half_; ++i) {
    const float step = frequency(config, i);
    for (std::int64_t position = 0; position < config.context_length; ++position) {
      const float angle = static_cast<float>(position) * step;
      const auto at = static_cast<std::size_t>(position * half_ + i);
      cosine_[at] = std::cos(angle);
      sine_[at] = std::sin(angle);
    }
  }
}

}  // namespace redoubt::engine::model
