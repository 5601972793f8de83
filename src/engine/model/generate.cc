// SPDX-License-Identifier: Apache-2.0
//
// The forward pass over key-value caches.
#include <cmath>

#include "engine/model/layer_math.h"
#include "engine/model/causal_model.h"

namespace redoubt::engine::model {
namespace {

constexpr std::int64_t kPiece = 512;  // a long prompt goes in pieces, which bounds the memory of its scores

// One new row of qkv: turns its heads, writes key and value into the cache, attends over all of it.
template <class T>
struct RowAttention {
  const Config& config;
  const RotaryTable& rotary;

  // Turns `count` heads of a row in place.
  void turn(T* heads, std::int64_t count, std::int64_t position, float* wide) const {
    const std::int64_t d = config.head_size;
    for (std::int64_t h = 0; h < count; ++h) {
      row::load(heads + h * d, wide, d);
      row::rotate(wide, rotary.cosine(position), rotary.sine(position), 1, d / 2);
      row::store(wide, heads + h * d, d);
    }
  }

  // One query head over `seen` keys and values [seen, d].
  void attend(const T* query, const T* keys, const T* values, std::int64_t seen, T* out) const {
    const std::int64_t d = config.head_size;
    std::vector<float> buffer(static_cast<std::size_t>(2 * d + seen));
    float *wide = buffer.data(), *sum = wide + d, *scores = sum + d;
    row::load(query, wide, d);
    for (std::int64_t i = 0; i < seen; ++i) scores[i] = row::dot(wide, keys + i * d, d);
    row::softmax(scores, 1.0f / std::sqrt(static_cast<float>(d)), seen);
    for (std::int64_t i = 0; i < seen; ++i) row::add_scaled(sum, scores[i], values + i * d, d);
    row::store(sum, out, d);
  }
};

}  // namespace

KeyValueCache::KeyValueCache(const Config& config, Precision precision, std::int64_t capacity) : capacity_(capacity) {
  c10::InferenceMode guard;
  keys_ = at::empty({config.layers, config.key_heads, capacity, config.head_size}, scalar_type(precision));
  values_ = at::empty_like(keys_);
}

void KeyValueCache::truncate(std::int64_t length) {
  CHECK(length >= 0 && length <= length_);
  length_ = length;
}

Status CausalModel::check(std::span<const std::int32_t> tokens, const KeyValueCache& cache) const {
  if (tokens.empty()) return fail(ErrorCode::invalid_argument, "no tokens to compute");
  for (auto token : tokens)
    if (token < 0 || token >= config_.vocabulary)
      return fail(ErrorCode::invalid_argument, "a token lies outside the model's vocabulary", std::to_string(token));
  const auto needed = cache.length() + std::ssize(tokens);
  if (needed > cache.capacity() || needed > config_.context_length)
    return fail(ErrorCode::limit_exceeded, "the sequence is longer than its cache or the model's context",
                std::to_string(needed) + " tokens");
  return {};
}

at::Tensor CausalModel::feed(std::int64_t layer, at::Tensor x, const at::Tensor& attended, const LoraWeights* lora) const {
  const auto& weights = weights_.layers[static_cast<std::size_t>(layer)];
  x = x + project(attended, weights.products[kAttentionOut], pair_of(lora, layer, kAttentionOut), nullptr);
  auto gate_up = project(rms_norm(x, weights.feed_norm, config_.rms_epsilon), weights.products[kFeedIn],
                         pair_of(lora, layer, kFeedIn), nullptr);
  return x.add_(project(swiglu(gate_up), weights.products[kFeedOut], pair_of(lora, layer, kFeedOut), nullptr));
}

Result<at::Tensor> CausalModel::prefill(std::span<const std::int32_t> tokens, KeyValueCache& cache,
                                  const LoraWeights* lora) const {
  c10::InferenceMode guard;
  TRY(check(tokens, cache));
  at::Tensor x;
  for (std::size_t begin = 0; begin < tokens.size(); begin += kPiece)
    x = prefill_piece(tokens.subspan(begin, std::min<std::size_t>(kPiece, tokens.size() - begin)), cache, lora);
  return logits(x.narrow(0, x.size(0) - 1, 1)).select(0, 0);
}

at::Tensor CausalModel::prefill_piece(std::span<const std::int32_t> tokens, KeyValueCache& cache, const LoraWeights* lora) const {
  const std::int64_t n = std::ssize(tokens), past = cache.length_, d = config_.head_size, g = config_.query_group(),
                     heads = config_.key_heads;
  auto ids = at::empty({n}, at::kLong);
  std::copy(tokens.begin(), tokens.end(), ids.mutable_data_ptr<std::int64_t>());
  auto x = weights_.embedding.index_select(0, ids);
  for (std::int64_t layer = 0; layer < config_.layers; ++layer) {
    const auto& weights = weights_.layers[static_cast<std::size_t>(layer)];
    auto qkv = project(rms_norm(x, weights.attention_norm, config_.rms_epsilon), weights.products[kAttentionIn],
                       pair_of(lora, layer, kAttentionIn), nullptr);
    with_type_of(qkv, [&](auto type) {
      RowAttention<decltype(type)> attention{config_, rotary_};
      auto* rows = qkv.template mutable_data_ptr<decltype(type)>();
      at::parallel_for(0, n, 8, [&](std::int64_t begin, std::int64_t end) {
        std::vector<float> wide(static_cast<std::size_t>(d));
        for (std::int64_t r = begin; r < end; ++r)
          attention.turn(rows + r * qkv.size(1), config_.heads + heads, past + r, wide.data());
      });
    });
    auto parts = qkv.split_with_sizes({config_.query_width(), config_.key_width(), config_.key_width()}, 1);
    auto keys = cache.keys_[layer], values = cache.values_[layer];
    keys.narrow(1, past, n).copy_(parts[1].reshape({n, heads, d}).transpose(0, 1));
    values.narrow(1, past, n).copy_(parts[2].reshape({n, heads, d}).transpose(0, 1));
    auto query = parts[0].reshape({n, heads, g, d}).permute({1, 2, 0, 3}).reshape({heads, g * n, d});
    const auto probabilities =
        attention_probabilities(query, keys.narrow(1, 0, past + n), n, 1.0f / std::sqrt(static_cast<float>(d)));
    auto attended = at::bmm(probabilities, values.narrow(1, 0, past + n))
                        .view({heads, g, n, d})
                        .permute({2, 0, 1, 3})
                        .reshape({n, config_.query_width()});
    x = feed(layer, x, attended, lora);
  }
  cache.length_ += n;
  return x;
}

Result<at::Tensor> CausalModel::decode(std::span<const DecodeStep> steps, const LoraWeights* lora) const {
  c10::InferenceMode guard;
  if (steps.empty()) return fail(ErrorCode::invalid_argument, "no sequences to decode");
  for (const auto& step : steps) TRY(check({&step.token, 1}, *step.cache));
  const std::int64_t n = std::ssize(steps), d = config_.head_size, g = config_.query_group();
  auto ids = at::empty({n}, at::kLong);
  for (std::int64_t i = 0; i < n; ++i) ids.mutable_data_ptr<std::int64_t>()[i] = steps[static_cast<std::size_t>(i)].token;
  auto x = weights_.embedding.index_select(0, ids);
  for (std::int64_t layer = 0; layer < config_.layers; ++layer) {
    const auto& weights = weights_.layers[static_cast<std::size_t>(layer)];
    auto qkv = project(rms_norm(x, weights.attention_norm, config_.rms_epsilon), weights.products[kAttentionIn],
                       pair_of(lora, layer, kAttentionIn), nullptr);
    auto attended = at::empty({n, config_.query_width()}, qkv.options());
    with_type_of(qkv, [&](auto type) {
      using T = decltype(type);
      RowAttention<T> attention{config_, rotary_};
      T *rows = qkv.template mutable_data_ptr<T>(), *out = attended.template mutable_data_ptr<T>();
      at::parallel_for(0, n * config_.key_heads, 1, [&](std::int64_t begin, std::int64_t end) {
        std::vector<float> wide(static_cast<std::size_t>(d));
        for (std::int64_t i = begin; i < end; ++i) {
          const std::int64_t r = i / config_.key_heads, head = i % config_.key_heads;
          const KeyValueCache& cache = *steps[static_cast<std::size_t>(r)].cache;
          T* query = rows + r * qkv.size(1) + head * g * d;
          T* key = rows + r * qkv.size(1) + config_.query_width() + head * d;
          attention.turn(query, g, cache.length_, wide.data());
          attention.turn(key, 1, cache.length_, wide.data());
          const std::int64_t base = (layer * config_.key_heads + head) * cache.capacity_ * d;
          T *keys = cache.keys_.template mutable_data_ptr<T>() + base,
            *values = cache.values_.template mutable_data_ptr<T>() + base;
          std::copy_n(key, d, keys + cache.length_ * d);
          std::copy_n(key + config_.key_width(), d, values + cache.length_ * d);
          for (std::int64_t j = 0; j < g; ++j)
            attention.attend(query + j * d, keys, values, cache.length_ + 1,
                             out + r * config_.query_width() + (head * g + j) * d);
        }
      });
    });
    x = feed(layer, x, attended, lora);
  }
  for (const auto& step : steps) ++step.cache->length_;
  return logits(x);
}

}  // namespace redoubt::engine::model
