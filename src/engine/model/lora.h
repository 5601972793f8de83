// SPDX-License-Identifier: Apache-2.0
//
// LoRA adapters (arXiv 2106.09685) in PEFT's format and semantics: y = x W^T + (alpha / rank) (drop(x) A^T) B^T, where drop
// is the identity but in training.
#pragma once

#include <array>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "engine/model/weights.h"
#include "engine/torch.h"

namespace redoubt::engine::model {

struct LoraOptions {
  std::int64_t rank = 8;
  double alpha = 16;
  double dropout = 0;  // of the adapters' input while they are trained
  // Modules by the end of their path, such as "q_proj" or "mlp.c_proj"; empty means every linear layer of the blocks.
  std::vector<std::string> targets = {};
};

// Which elements of an adapter's input are dropped: each with probability `rate`, chosen by `key` alone, so that a pass can
// be computed again.
struct LoraDropout {
  double rate = 0;
  std::uint64_t key = 0;
};

// What a product multiplies with: the adapters of its modules side by side, in the model's precision, scaled.
struct LoraPair {
  at::Tensor a;              // [ranks, inputs]; undefined when no module of the product is adapted
  at::Tensor b;              // [outputs, ranks], zero outside a module's rows and ranks
  LoraDropout dropout = {};  // one draw for all modules of a product, where PEFT draws for each
};
using LoraWeights = std::vector<std::array<LoraPair, kProducts>>;  // by layer

// Gives every pair its own draw, from `key`; rate 0 ends dropping.
void set_dropout(LoraWeights& weights, double rate, std::uint64_t key);

class Adapter {
 public:
  // A is drawn uniformly in +-1/sqrt(inputs) (PEFT's kaiming_uniform with a = sqrt 5), B is zero. An unknown target is
  // invalid_argument.
  static Result<Adapter> create(const Config& config, const LoraOptions& options, std::uint64_t seed);
  // Reads a folder that PEFT or `save` wrote. What changes the computation and is not done here is unsupported, by name; an
  // adapter whose modules or shapes are not the model's is refused with both names.
  static Result<Adapter> load(const std::filesystem::path& folder, const Config& config);
  // adapter_config.json and adapter_model.safetensors.
  Status save(const std::filesystem::path& folder, const std::string& base_model) const;

  // All values in one fp32 vector, and where each matrix of it lies.
  at::Tensor& values() { return values_; }
  const at::Tensor& values() const { return values_; }
  std::int64_t rank() const { return rank_; }

  // The working form; `into` is made on the first call and rewritten in place afterwards.
  void write_working(LoraWeights& into, Precision precision) const;
  // Adds the gradients of a product's pair (as write_working lays it out) to a vector shaped like values().
  void add_gradient(std::int64_t layer, Product product, const at::Tensor& da, const at::Tensor& db,
                    at::Tensor& gradient) const;

 private:
  struct Part {
    std::int64_t layer;
    Module module;
    std::string path;       // in the model
    std::int64_t a, b;      // offsets in values_
    std::int64_t rank_row;  // first of its rows in the pair's a
  };
  // Adapts the modules whose path in the model `adapts` accepts.
  static Result<Adapter> lay_out(const Config& config, std::int64_t rank, double scale,
                                 const std::function<bool(const std::string& path)>& adapts);
  std::vector<std::string> target_names() const;
  at::Tensor a_of(const Part& part) const {
    return values_.narrow(0, part.a, rank_ * part.module.inputs).view({rank_, part.module.inputs});
  }
  at::Tensor b_of(const Part& part) const {
    return values_.narrow(0, part.b, part.module.rows * rank_).view({part.module.rows, rank_});
  }

  std::int64_t rank_ = 0, layers_ = 0;
  double scale_ = 0, alpha_ = 0, dropout_ = 0;
  std::vector<Part> parts_;
  std::vector<std::string> left_out_;  // paths of the modules that are not adapted
  bool transposed_ = false;            // the base's matrices lie as [inputs, outputs]
  std::array<std::pair<std::int64_t, std::int64_t>, kProducts> product_sizes_ = {};  // outputs, inputs
  at::Tensor values_;
};

}  // namespace redoubt::engine::model
