// SPDX-License-Identifier: Apache-2.0
//
// For tests: a tiny random model and random examples.
#pragma once

#include <memory>
#include <random>

#include "engine/data/examples.h"
#include "engine/model/causal_model.h"

namespace redoubt::engine::train::testing {

inline std::unique_ptr<model::CausalModel> tiny_model(std::uint64_t seed, model::Precision precision = model::Precision::fp32) {
  model::Config c;
  c.vocabulary = 97, c.hidden = 32, c.layers = 3, c.heads = 4, c.key_heads = 2, c.head_size = 8, c.intermediate = 48;
  c.context_length = 64, c.rms_epsilon = 1e-5, c.rope_theta = 10000, c.tied_embeddings = true;
  at::manual_seed(seed);
  const auto random = [&](at::IntArrayRef shape) { return (at::randn(shape) * 0.3).to(model::scalar_type(precision)); };
  const auto near_one = [&] { return at::ones({c.hidden}) + at::randn({c.hidden}) * 0.1; };
  model::Weights w;
  w.embedding = random({c.vocabulary, c.hidden});
  for (std::int64_t i = 0; i < c.layers; ++i)
    w.layers.push_back({near_one(),
                        near_one(),
                        {random({c.query_width() + 2 * c.key_width(), c.hidden}), random({c.hidden, c.query_width()}),
                         random({2 * c.intermediate, c.hidden}), random({c.hidden, c.intermediate})}});
  w.final_norm = near_one();
  w.head = w.embedding;
  return std::make_unique<model::CausalModel>(c, w, precision);
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
