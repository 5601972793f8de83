// SPDX-License-Identifier: Apache-2.0
//
// The tensors of a model in memory. Projections that read the same input lie in one matrix, so that a layer is four large
// products.
#pragma once

#include <vector>

#include "base/result.h"
#include "engine/model/config.h"
#include "engine/model/dense_products.h"
#include "engine/model/packed_matrix.h"
#include "engine/model/quantised.h"
#include "engine/torch.h"
#include "weights/model_files.h"

namespace redoubt::engine::model {

enum class Precision { bf16, fp32 };
at::ScalarType scalar_type(Precision precision);

// A norm's weights, always fp32 and as they are multiplied. The bias is undefined for NormKind::rms.
struct Norm {
  at::Tensor weight, bias;
  bool defined() const { return weight.defined(); }
};

// A matrix is [outputs, inputs], a bias [outputs], both in the model's precision. What the configuration has not is
// undefined.
struct LayerWeights {
  Norm attention_norm, feed_norm;            // [hidden], before each part
  Norm attention_post_norm, feed_post_norm;  // [hidden], after it, before the residual stream takes it
  Norm query_norm, key_norm;                 // [head size]
  at::Tensor products[kProducts];            // query+key+value, output, gate+up (or up alone), down
  at::Tensor biases[kProducts];
  QuantisedMatrix quantised[kProducts];      // in place of `products`, which are then undefined
  PackedMatrix packed[kProducts];            // the same weights laid out for speed; before what stands above
  PackedMatrix packed_back[kProducts];       // and transposed, for the way back of a training

  // A product's matrix as it is computed with in `type`; where it is stored in another, it holds until this thread's next product.
  at::Tensor matrix(Product product, at::ScalarType type) const {
    return quantised[product].defined() ? quantised[product].dense_in_buffer(type) : in_product_type(products[product], type);
  }
  void quantise(WeightFormat format);
};

struct Weights {
  at::Tensor embedding;  // [vocabulary, hidden]
  at::Tensor positions;  // [context, hidden], added to the embedding
  std::vector<LayerWeights> layers;
  Norm final_norm;  // [hidden]
  at::Tensor head;  // [vocabulary, hidden]; the embedding itself when tied
  QuantisedMatrix quantised_head;  // in place of `head`
  PackedMatrix packed_head;
  PackedMemory packed_memory;  // of all that are packed

  // As LayerWeights::matrix.
  at::Tensor head_matrix(at::ScalarType type) const { return quantised_head.defined() ? quantised_head.dense_in_buffer(type) : in_product_type(head, type); }
  // Rounds the head to 8 bits, whatever the layers have: its rounding goes straight into the logits. A tied embedding stays as it
  // is, for it is read by rows.
  void quantise_head(bool tied);

  // All that are defined, in a fixed order; a tied head is the embedding once more.
  std::vector<at::Tensor> tensors() const;
};

// A linear module as PEFT names it, and where its rows lie in a product.
struct Module {
  std::string path;  // "self_attn.q_proj", within its layer
  std::string name;  // "q_proj"
  Product product;
  std::int64_t row, rows, inputs;
};
std::vector<Module> modules_of(const Config& config);
std::int64_t outputs_of(const Config& config, Product product);

// unsupported where a format cannot hold the configuration's matrices: int4 needs inputs that are multiples of 32.
Status check_format(const Config& config, WeightFormat format);

// Reads every tensor the configuration asks for, converts to `precision`, checks shapes, refuses tensors it does not know. With
// another format each layer is rounded as soon as it is read, so that the whole model never lies in memory unrounded.
Result<Weights> load_weights(const weights::ModelFiles& files, const Config& config, Precision precision,
                             WeightFormat format = WeightFormat::as_loaded);

}  // namespace redoubt::engine::model
