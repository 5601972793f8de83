// SPDX-License-Identifier: Apache-2.0
//
// LoRA adapters (arXiv 2106.09685) in PEFT's format and semantics: y = x W^T + s (drop(x) A^T) B^T, where drop is the identity
// but in training and s is alpha / rank, or alpha / sqrt(rank) where they are rank-stabilised. DoRA (arXiv 2402.09353) adds a
// magnitude m to each output: y = m / |W + s B A| times the above, the rows' norms being no part of the gradient.
#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/model/lora_targets.h"
#include "engine/model/low_rank.h"
#include "engine/model/weights.h"
#include "engine/torch.h"

namespace redoubt::engine::model {

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
  // DoRA alone, fp32 [outputs]: the rows' norms, and what a row without bias is multiplied with (1 where no module is adapted).
  at::Tensor norms = {}, row_scale = {};
  std::vector<RankBand> bands = {};  // of b, by module
};
using LoraWeights = std::vector<std::array<LoraPair, kProducts>>;  // by layer

// Gives every pair its own draw, from `key`; rate 0 ends dropping.
void set_dropout(LoraWeights& weights, double rate, std::uint64_t key);

// The linear modules of a model's layers, in the order of the computation.
std::vector<ModulePath> module_paths(const Config& config);

class Adapter {
 public:
  // A is drawn uniformly in +-1/sqrt(inputs) (PEFT's kaiming_uniform with a = sqrt 5), B is zero. An unknown target is
  // invalid_argument.
  // DoRA needs the base's weights: its magnitudes start as their rows' norms.
  static Result<Adapter> create(const Config& config, const LoraOptions& options, std::uint64_t seed,
                                const Weights* base = nullptr);
  // Reads a folder that PEFT or `save` wrote. What changes the computation and is not done here is unsupported, by name; an
  // adapter whose modules or shapes are not the model's is refused with both names.
  // DoRA needs the base's weights, and is unsupported without. With the base's digest (base_digest.h) an adapter that records
  // another is refused as well; of one that records none, as PEFT writes them, a base of another name is a warning on stderr.
  static Result<Adapter> load(const std::filesystem::path& folder, const Config& config, const Weights* base = nullptr, const std::string& digest = "");
  // adapter_config.json and adapter_model.safetensors, which records the base's digest beside its tensors.
  Status save(const std::filesystem::path& folder, const std::string& base_model, const std::string& digest) const;

  // All values in one fp32 vector, and where each matrix of it lies.
  at::Tensor& values() { return values_; }
  const at::Tensor& values() const { return values_; }
  const LoraOptions& options() const { return options_; }

  // The working form; `into` is made on the first call and rewritten in place afterwards.
  void write_working(LoraWeights& into, Precision precision) const;
  // Adds the gradients of a product's pair (as write_working lays it out) to a vector shaped like values().
  void add_gradient(std::int64_t layer, Product product, const at::Tensor& da, const at::Tensor& db,
                    at::Tensor& gradient) const;
  // The same made of what they are products of, summed in fp32: x [rows, inputs] as the pair's a met it, low = x a^T, dlow = dy b and
  // dy [rows, outputs]. Only where multiplies_low_rank(x) (low_rank_products.h).
  void add_gradient(std::int64_t layer, Product product, const at::Tensor& x, const at::Tensor& low, const at::Tensor& dy, const at::Tensor& dlow,
                    at::Tensor& gradient) const;
  // The same for DoRA's magnitudes: `dscale` is that of the pair's row_scale.
  void add_magnitude_gradient(std::int64_t layer, Product product, const at::Tensor& dscale, const LoraPair& pair,
                              at::Tensor& gradient) const;

  // One adapted module, for merging: where it lies, and the fp32 matrix that takes the place of its W.
  struct Merged {
    std::int64_t layer;
    Module module;
    std::string path;
  };
  std::vector<Merged> modules() const;
  at::Tensor merge(std::size_t module, const at::Tensor& weight) const;

 private:
  struct Part {
    std::int64_t layer;
    Module module;
    std::string path;             // in the model
    std::int64_t rank;
    double scale;
    std::int64_t a, b, magnitude;  // offsets in values_; magnitude is -1 without
    std::int64_t rank_row;        // first of its rows in the pair's a
    at::Tensor base;              // DoRA: the module's rows of the base
    QuantisedMatrix rounded;      // or the whole product of a base that is rounded
  };
  // Adapts `targets`, which are in the model's order; with DoRA, of `base`.
  static Result<Adapter> lay_out(const Config& config, const LoraOptions& options, const std::vector<LoraTarget>& targets,
                                 const Weights* base);
  std::vector<std::string> target_names() const;
  at::Tensor a_of(const Part& part) const {
    return values_.narrow(0, part.a, part.rank * part.module.inputs).view({part.rank, part.module.inputs});
  }
  at::Tensor b_of(const Part& part) const {
    return values_.narrow(0, part.b, part.module.rows * part.rank).view({part.module.rows, part.rank});
  }
  at::Tensor magnitude_of(const Part& part) const { return values_.narrow(0, part.magnitude, part.module.rows); }
  at::Tensor row_norms(const Part& part, const at::Tensor& weight) const;
  at::Tensor row_norms(const Part& part) const;  // of the base's rows
  void make_working(LoraWeights& into, Precision precision) const;
  // A part's values into the rows and columns of the pair that are its own.
  template <class T>
  static void write_part(const Part& part, const float* values, LoraPair& pair);

  LoraOptions options_;
  std::int64_t layers_ = 0;
  std::vector<Part> parts_;
  std::vector<std::string> left_out_;  // paths of the modules that are not adapted
  bool transposed_ = false;            // the base's matrices lie as [inputs, outputs]
  std::array<std::pair<std::int64_t, std::int64_t>, kProducts> product_sizes_ = {};  // outputs, inputs
  at::Tensor values_;
};

}  // namespace redoubt::engine::model
