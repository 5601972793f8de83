// SPDX-License-Identifier: Apache-2.0
//
// What config.json of a Hugging Face folder says about a Llama-family model. An architecture or option that the engine does
// not compute exactly is refused by name, never run approximately.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "base/json.h"

namespace redoubt::engine::model {

// Llama 3's stretched rotary frequencies (rope_type "llama3").
struct Llama3Scaling {
  double factor = 8, low_frequency_factor = 1, high_frequency_factor = 4;
  double original_context_length = 8192;
};

struct Config {
  std::int64_t vocabulary = 0;
  std::int64_t hidden = 0;  // width of the residual stream
  std::int64_t layers = 0;
  std::int64_t heads = 0;         // query heads
  std::int64_t key_heads = 0;     // key and value heads; heads is a multiple of it
  std::int64_t head_size = 0;     // even
  std::int64_t intermediate = 0;  // width of the feed-forward part
  std::int64_t context_length = 0;
  double rms_epsilon = 1e-6;
  double rope_theta = 10000;
  double rope_linear_factor = 1;  // positions are divided by it (rope_type "linear")
  std::optional<Llama3Scaling> llama3_scaling = {};
  bool tied_embeddings = false;
  std::vector<std::int32_t> end_tokens = {};  // eos_token_id of config.json

  std::int64_t query_width() const { return heads * head_size; }
  std::int64_t key_width() const { return key_heads * head_size; }
  std::int64_t query_group() const { return heads / key_heads; }  // query heads that share a key head
};

// Errors: invalid_argument for a missing or impossible value, unsupported for what is understood but not computed.
Result<Config> parse_config(const Json& config, std::string_view where);
Result<Config> read_config(const std::filesystem::path& model_folder);

}  // namespace redoubt::engine::model
