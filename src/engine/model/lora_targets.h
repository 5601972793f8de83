// SPDX-License-Identifier: Apache-2.0
//
// Which modules an adapter adapts, with which rank and alpha: PEFT's rules over the modules' paths in the model.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/json.h"

namespace redoubt::engine::model {

struct LoraOptions {
  std::int64_t rank = 8;
  double alpha = 16;
  double dropout = 0;      // of the adapters' input while they are trained
  // Modules by the end of their path, such as "q_proj" or "mlp.c_proj"; empty means every linear layer of the blocks.
  std::vector<std::string> targets = {};
  std::string target_pattern = {};         // instead: a regular expression that the whole path has to match
  std::vector<std::int64_t> layers = {};   // layers_to_transform; empty: all
  // Other ranks and alphas for modules whose path the expression ends. Two that disagree about a module are refused.
  std::map<std::string, std::int64_t> rank_pattern = {};
  std::map<std::string, double> alpha_pattern = {};
  bool stabilised = false;  // use_rslora: alpha / sqrt(rank) instead of alpha / rank (arXiv 2312.03732)
  bool magnitude = false;   // use_dora: DoRA (arXiv 2402.09353)
  bool gaussian = false;    // A from a normal distribution with deviation 1 / rank

  double scale_of(std::int64_t module_rank, double module_alpha) const;
};

// One module that is adapted.
struct LoraTarget {
  std::string path;
  std::int64_t rank = 0;
  double alpha = 0;
};

struct ModulePath {
  std::string path;        // "model.layers.3.self_attn.q_proj"
  std::int64_t layer = 0;
};
// The modules that `options` adapts, in the order given. invalid_argument for a name or pattern that fits none of them.
Result<std::vector<LoraTarget>> choose_targets(const std::vector<ModulePath>& modules, const LoraOptions& options);

// A pattern that fits no module that is adapted: a mistake in a configuration, but PEFT writes what it was given.
enum class UnusedPatterns { refused, passed_over };

// Rank and alpha of modules that are known to be adapted.
Result<std::vector<LoraTarget>> size_targets(const std::vector<std::string>& paths, const LoraOptions& options, UnusedPatterns unused);

// Options from the members of adapter_config.json: r, lora_alpha, use_rslora, use_dora, rank_pattern, alpha_pattern,
// target_modules, layers_to_transform, lora_dropout. Missing ones have PEFT's defaults.
Result<LoraOptions> parse_lora_options(const Json& config, const std::string& where);

// Whether a path is that name, or ends with it from a dot on.
bool is_named(const std::string& path, const std::string& name);

}  // namespace redoubt::engine::model
