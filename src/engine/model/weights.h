// SPDX-License-Identifier: Apache-2.0
//
// The tensors of a model in memory. Projections that read the same input lie in one matrix, so that a layer is four
// large products.
#pragma once

#include <vector>

#include "base/result.h"
#include "engine/model/config.h"
#include "engine/torch.h"
#include "weights/model_files.h"

namespace redoubt::engine::model {

enum class Precision { bf16, fp32 };
at::ScalarType scalar_type(Precision precision);

// The four products of a layer. A matrix is [outputs, inputs] in the model's precision; norm weights are always fp32.
enum Product : int { kAttentionIn, kAttentionOut, kFeedIn, kFeedOut, kProducts };

struct LayerWeights {
  at::Tensor attention_norm;       // [hidden]
  at::Tensor feed_norm;            // [hidden]
  at::Tensor products[kProducts];  // query+key+value, output, gate+up, down
};

struct Weights {
  at::Tensor embedding;  // [vocabulary, hidden]
  std::vector<LayerWeights> layers;
  at::Tensor final_norm;  // [hidden]
  at::Tensor head;        // [vocabulary, hidden]; the embedding itself when tied
};

// A linear module as PEFT names it, and where its rows lie in a product.
struct Module {
  const char* name;    // "q_proj"
  const char* parent;  // "self_attn"
  Product product;
  std::int64_t row, rows, inputs;
};
std::vector<Module> modules_of(const Config& config);

// Reads every tensor the configuration asks for, converts to `precision`, checks shapes, refuses tensors it does not know.
Result<Weights> load_weights(const weights::ModelFiles& files, const Config& config, Precision precision);

}  // namespace redoubt::engine::model
