// SPDX-License-Identifier: Apache-2.0
//
// For tests: a tiny random model and random examples.
#pragma once

#include <memory>
#include <random>

#include "engine/data/examples.h"
#include "engine/model/causal_model.h"

namespace redoubt::engine::train::testing {

inline model::Config tiny_config() {
  model::Config c;
  c.vocabulary = 97, c.hidden = 32, c.layers = 3, c.heads = 4, c.key_heads = 2, c.head_size = 8, c.intermediate = 48;
  c.context_length = 64, c.norm_epsilon = 1e-5, c.tied_embeddings = true;
  return c;
}

// Random weights for whatever the configuration has.
inline model::Weights random_weights(const model::Config& c, std::uint64_t seed, model::Precision precision) {
  at::manual_seed(seed);
  const auto random = [&](at::IntArrayRef shape) { return (at::randn(shape) * 0.3).to(model::scalar_type(precision)); };
  const auto norm = [&](bool there, std::int64_t size) {
    model::Norm out;
    if (there) out.weight = at::ones({size}) + at::randn({size}) * 0.1;
    if (there && c.norm == model::NormKind::layer) out.bias = at::randn({size}) * 0.1;
    return out;
  };
  model::Weights w;
  w.embedding = random({c.vocabulary, c.hidden});
  if (!c.names.positions.empty()) w.positions = random({c.context_length, c.hidden});
  for (std::int64_t i = 0; i < c.layers; ++i) {
    auto& layer = w.layers.emplace_back();
    layer.attention_norm = norm(true, c.hidden);
    layer.feed_norm = norm(true, c.hidden);
    layer.attention_post_norm = norm(!c.names.attention_post_norm.empty(), c.hidden);
    layer.feed_post_norm = norm(!c.names.feed_post_norm.empty(), c.hidden);
    layer.query_norm = norm(!c.names.query_norm.empty(), c.head_size);
    layer.key_norm = norm(!c.names.key_norm.empty(), c.head_size);
    const std::int64_t inputs[] = {c.hidden, c.query_width(), c.hidden, c.intermediate};
    for (int p = 0; p < model::kProducts; ++p) {
      const auto outputs = model::outputs_of(c, static_cast<model::Product>(p));
      layer.products[p] = random({outputs, inputs[p]});
      if (c.biased[static_cast<std::size_t>(p)]) layer.biases[p] = random({outputs});
    }
  }
  w.final_norm = norm(true, c.hidden);
  w.head = w.embedding;
  return w;
}

inline std::unique_ptr<model::CausalModel> tiny_model(std::uint64_t seed,
                                                      model::Precision precision = model::Precision::fp32,
                                                      const model::Config& config = tiny_config()) {
  return std::make_unique<model::CausalModel>(config, random_weights(config, seed, precision), precision);
}

inline std::vector<data::Example> random_examples(std::size_t count, std::int32_t vocabulary, std::uint64_t seed) {
  std::mt19937_64 generator(seed);
  std::vector<data::Example> examples(count);
  for (std::size_t i = 0; i < count; ++i) {
    auto& example = examples[i];
    example.ids.resize(5 + generator() % 20);
    for (auto& id : example.ids) id = static_cast<std::int32_t>(generator() % static_cast<std::uint64_t>(vocabulary));
    example.answer_start = static_cast<std::int32_t>(1 + generator() % (example.ids.size() - 2));
    example.source_line = i + 1, example.answer_words = 2, example.answer_bytes = 9;
  }
  return examples;
}

}  // namespace redoubt::engine::train::testing
