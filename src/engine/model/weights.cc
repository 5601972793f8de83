// SPDX-License-Identifier: Apache-2.0
#include "engine/model/weights.h"

#include <set>

#include "engine/model/tensor_file.h"

namespace redoubt::engine::model {
namespace {

// Takes tensors out of the files one by one and remembers which, so that what is left over can be refused.
class Loader {
 public:
  Loader(const weights::ModelFiles& files, at::ScalarType type) : files_(files), type_(type) {}

  Result<at::Tensor> matrix(const std::string& name, std::int64_t rows, std::int64_t columns) {
    return load(name, {rows, columns}, type_);
  }
  Result<at::Tensor> vector(const std::string& name, std::int64_t size) { return load(name, {size}, at::kFloat); }

  Status refuse_rest(bool tied) const {
    for (const auto* tensor : files_.tensors()) {
      const bool derived = tensor->name.ends_with("rotary_emb.inv_freq") || (tied && tensor->name == "lm_head.weight");
      if (!derived && !taken_.contains(tensor->name))
        return fail(ErrorCode::unsupported, "the model holds a tensor that its configuration does not explain",
                    tensor->name);
    }
    return {};
  }

 private:
  Result<at::Tensor> load(const std::string& name, std::vector<std::int64_t> shape, at::ScalarType type) {
    const auto place = TRY(files_.find(name));
    auto tensor = TRY(read_tensor(*place.file, *place.tensor));
    if (tensor.sizes() != at::IntArrayRef(shape))
      return fail(ErrorCode::invalid_argument, "a tensor's shape is not what config.json says",
                  place.file->where() + ": " + name);
    if (!at::isFloatingType(tensor.scalar_type()))
      return fail(ErrorCode::unsupported, std::string("weights of type ") + weights::to_string(place.tensor->type),
                  place.file->where() + ": " + name, "give the weights as F32, F16 or BF16");
    taken_.insert(name);
    return tensor.to(type);
  }

  const weights::ModelFiles& files_;
  at::ScalarType type_;
  std::set<std::string> taken_;
};

}  // namespace

at::ScalarType scalar_type(Precision precision) { return precision == Precision::bf16 ? at::kBFloat16 : at::kFloat; }

std::vector<Module> modules_of(const Config& c) {
  const auto q = c.query_width(), k = c.key_width();
  return {{"q_proj", "self_attn", kAttentionIn, 0, q, c.hidden},
          {"k_proj", "self_attn", kAttentionIn, q, k, c.hidden},
          {"v_proj", "self_attn", kAttentionIn, q + k, k, c.hidden},
          {"o_proj", "self_attn", kAttentionOut, 0, c.hidden, q},
          {"gate_proj", "mlp", kFeedIn, 0, c.intermediate, c.hidden},
          {"up_proj", "mlp", kFeedIn, c.intermediate, c.intermediate, c.hidden},
          {"down_proj", "mlp", kFeedOut, 0, c.hidden, c.intermediate}};
}

Result<Weights> load_weights(const weights::ModelFiles& files, const Config& config, Precision precision) {
  c10::InferenceMode guard;
  Loader loader(files, scalar_type(precision));
  Weights out;
  out.embedding = TRY(loader.matrix("model.embed_tokens.weight", config.vocabulary, config.hidden));
  out.final_norm = TRY(loader.vector("model.norm.weight", config.hidden));
  const auto modules = modules_of(config);
  for (std::int64_t i = 0; i < config.layers; ++i) {
    const std::string layer = "model.layers." + std::to_string(i) + ".";
    LayerWeights weights;
    weights.attention_norm = TRY(loader.vector(layer + "input_layernorm.weight", config.hidden));
    weights.feed_norm = TRY(loader.vector(layer + "post_attention_layernorm.weight", config.hidden));
    std::vector<at::Tensor> parts[kProducts];
    for (const auto& module : modules)
      parts[module.product].push_back(
          TRY(loader.matrix(layer + module.parent + "." + module.name + ".weight", module.rows, module.inputs)));
    for (int product = 0; product < kProducts; ++product) weights.products[product] = at::cat(parts[product]).contiguous();
    out.layers.push_back(std::move(weights));
  }
  out.head = config.tied_embeddings ? out.embedding : TRY(loader.matrix("lm_head.weight", config.vocabulary, config.hidden));
  TRY(loader.refuse_rest(config.tied_embeddings));
  return out;
}

}  // namespace redoubt::engine::model
