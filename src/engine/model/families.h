// SPDX-License-Identifier: Apache-2.0
//
// The one table from an architecture of Transformers to the options of the computation.
#pragma once

#include <span>

#include "engine/model/config.h"

namespace redoubt::engine::model {

enum class Windows {
  none,        // sliding_window must not be set
  all,         // every layer has it
  from_layer,  // those from max_window_layers on, with use_sliding_window
  pattern      // all but each n-th layer
};

enum class Biases {
  none,
  query_key_value,
  by_key,  // attention_bias for the attention's modules, mlp_bias for the others where `reads` names them
  all
};

struct Family {
  const char* architecture;
  const char* model_type;
  Json defaults;                        // of Transformers' configuration class, where the file leaves a key out
  std::vector<std::string> reads = {};  // keys that other families must leave alone
  std::vector<std::pair<std::string, std::string>> renamed = {};  // the file's name of a key, and ours
  NormKind norm = NormKind::rms;
  bool norm_from_one = false;
  bool scaled_embedding = false;
  bool turned = true;  // rotary positions; without, learned ones
  const char* activation_key = "hidden_act";
  std::vector<std::pair<std::string, Activation>> activations = {{"silu", Activation::gated_silu}};
  Biases biases = Biases::none;
  Windows windows = Windows::none;
  std::vector<RopeKind> ropes = {RopeKind::plain, RopeKind::linear, RopeKind::dynamic, RopeKind::yarn, RopeKind::llama3};
  Names names = {};
};

std::span<const Family> families();

}  // namespace redoubt::engine::model
