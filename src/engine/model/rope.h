// SPDX-License-Identifier: Apache-2.0
//
// How a model turns its heads by position: Transformers' rope_parameters, or rope_theta and rope_scaling of older files.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace redoubt::engine::model {

enum class RopeKind { plain, linear, dynamic, yarn, longrope, llama3 };

struct Rope {
  RopeKind kind = RopeKind::plain;
  double theta = 10000;
  double partial = 1;           // the share of a head that is turned
  double factor = 1;            // how far the context is stretched
  double original_length = 0;   // the context before that; a longer sequence takes other angles in dynamic and longrope
  double attention_factor = 1;  // cosines and sines are multiplied by it
  double low_frequency_factor = 1, high_frequency_factor = 4;  // llama3
  double beta_fast = 32, beta_slow = 1;                        // yarn: rotations where stretching begins and is whole
  bool whole_dimensions = true;                                // yarn: these are rounded to dimensions
  std::vector<float> short_factors = {}, long_factors = {};    // longrope: by frequency, within and beyond original_length
};

// What a family gives to the reading of its parameters.
struct RopeDefaults {
  std::span<const RopeKind> kinds;  // those that it computes
  double theta = 10000;
  std::int64_t context_length = 0;  // max_position_embeddings
  bool partial = false;             // partial_rotary_factor is read
};

// `parameters` is the object that names rope_type (or null), `config` the whole of config.json. unsupported for a kind that
// is not computed, by its name.
Result<Rope> parse_rope(const Json& parameters, const Json& config, const RopeDefaults& defaults, std::string_view where);

// rope_scaling where it says something, else rope_parameters, else null: the order of Transformers.
Json rope_parameters_of(const Json& config);

}  // namespace redoubt::engine::model
