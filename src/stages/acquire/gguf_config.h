// SPDX-License-Identifier: Apache-2.0
//
// config.json out of a GGUF file's metadata.
#pragma once

#include "base/json.h"
#include "weights/gguf.h"

namespace redoubt::stages::acquire {

// What the tensors' shapes follow from.
struct GgufShape {
  std::uint64_t layers = 0, hidden = 0, intermediate = 0, heads = 0, key_heads = 0, head_size = 0, vocabulary = 0;
  bool tied_embeddings = false;  // no output projection of its own
};

// Refuses other architectures and every `llama.` key it does not know: such a key may change what the model computes.
Result<GgufShape> read_gguf_shape(const weights::GgufHeader& header);

// `file` is read for the factors of a scaled rotary embedding (Llama 3.1), which GGUF keeps as a tensor.
Result<Json> make_config(const weights::GgufHeader& header, const GgufShape& shape, const RandomAccess& file);
Result<Json> make_generation_config(const weights::GgufHeader& header);

inline constexpr const char* kRopeFactors = "rope_freqs.weight";

}  // namespace redoubt::stages::acquire
