// SPDX-License-Identifier: Apache-2.0
//
// The forward pass over key-value caches.
#include <algorithm>

#include "engine/model/causal_model.h"
#include "engine/model/layer_math.h"
#include "engine/model/row_attention.h"

namespace redoubt::engine::model {
namespace {

constexpr std::int64_t kPiece = 512;  // a long prompt goes in pieces, which bounds the memory of its scores

at::Tensor tensor_of(std::span<const std::int32_t> values) {
  auto out = at::empty({std::ssize(values)}, at::kLong);
  std::copy(values.begin(), values.end(), out.mutable_data_ptr<std::int64_t>());
  return out;
}

}  // namespace

KeyValueCache::KeyValueCache(const Config& config, Precision precision, std::int64_t capacity) : capacity_(capacity) {
  c10::InferenceMode guard;
  keys_ = at::empty({config.layers, config.key_heads, capacity, config.head_size}, scalar_type(precision));
  values_ = at::empty_like(keys_);
}

std::uint64_t KeyValueCache::bytes(const Config& config, Precision precision, std::int64_t capacity) {
  const auto value_bytes = static_cast<std::int64_t>(c10::elementSize(scalar_type(precision)));
  return static_cast<std::uint64_t>(2 * config.layers * config.key_width() * capacity * value_bytes);
}

void KeyValueCache::copy_prefix(const KeyValueCache& from, std::int64_t length) {
  CHECK(length >= 0 && length <= from.length_ && length <= capacity_);
  c10::InferenceMode guard;
  keys_.narrow(2, 0, length).copy_(from.keys_.narrow(2, 0, length));
  values_.narrow(2, 0, length).copy_(from.values_.narrow(2, 0, length));
  tokens_.assign(from.tokens_.begin(), from.tokens_.begin() + length);
  turned_length_ = from.turned_length_;
  length_ = length;
}

void KeyValueCache::truncate(std::int64_t length) {
  CHECK(length >= 0 && length <= length_);
  length_ = length;
  tokens_.resize(static_cast<std::size_t>(length));
}

void CausalModel::pack() {
  c10::InferenceMode guard;
  const bool keep_dense = precision_ == Precision::bf16 && row::has_tiles();
  const auto bytes_of = [](const at::Tensor& dense, const QuantisedMatrix& quantised) {
    if (!quantised.defined()) return PackedMatrix::bytes(dense);
    return quantised.is_int8() ? PackedMatrix::bytes(quantised) : 0;
  };
  auto bytes = bytes_of(weights_.head, weights_.quantised_head);
  for (const auto& layer : weights_.layers)
    for (int product = 0; product < kProducts; ++product) bytes += bytes_of(layer.products[product], layer.quantised[product]);
  weights_.packed_memory = PackedMemory(bytes, Pages::large);
  const auto pack_one = [&](PackedMatrix& packed, at::Tensor& dense, QuantisedMatrix& quantised, bool keep) {
    if (quantised.defined() && !quantised.is_int8()) return;
    packed = quantised.defined() ? PackedMatrix(quantised, weights_.packed_memory) : PackedMatrix(dense, weights_.packed_memory);
    quantised = {};
    if (!keep) dense.reset();
  };
  for (auto& layer : weights_.layers)
    for (int product = 0; product < kProducts; ++product) pack_one(layer.packed[product], layer.products[product], layer.quantised[product], keep_dense);
  pack_one(weights_.packed_head, weights_.head, weights_.quantised_head, config_.tied_embeddings);
}

namespace {

bool trains_by_panels(Precision precision) { return precision == Precision::bf16 && row::best_vectors() == row::Vectors::avx512_bf16 && !row::has_tiles(); }

}  // namespace

std::uint64_t CausalModel::training_pack_bytes(const Config& config, Precision precision, WeightFormat format) {
  if (!trains_by_panels(precision) || format != WeightFormat::as_loaded) return 0;
  std::int64_t values = 0;
  for (const auto& module : modules_of(config)) values += module.rows * module.inputs;
  return static_cast<std::uint64_t>(config.layers * values) * sizeof(row::bf16);
}

bool CausalModel::pack_for_training() {
  c10::InferenceMode guard;
  if (!trains_by_panels(precision_) || weights_.quantised_head.defined()) return false;
  std::size_t bytes = 0;
  for (const auto& layer : weights_.layers)
    for (const auto& dense : layer.products) bytes += PackedMatrix::bytes(dense) + PackedMatrix::bytes(dense.t());
  weights_.packed_memory = PackedMemory(bytes, Pages::small);
  for (auto& layer : weights_.layers)
    for (int product = 0; product < kProducts; ++product) {
      auto& dense = layer.products[product];
      layer.packed[product] = PackedMatrix(dense, weights_.packed_memory);
      layer.packed_back[product] = PackedMatrix(dense.t(), weights_.packed_memory);
      dense.reset();
    }
  return true;
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

at::Tensor CausalModel::feed(std::int64_t layer, at::Tensor x, const at::Tensor& attended,
                             const LoraWeights* lora) const {
  const auto& weights = weights_.layers[static_cast<std::size_t>(layer)];
  const double epsilon = config_.norm_epsilon;
  const auto product = [&](Product which, const at::Tensor& in) {
    return project(in, weights, which, pair_of(lora, layer, which), nullptr);
  };
  const auto finished = [&](at::Tensor out, const Norm& norm) {
    return norm.defined() ? normalise(out, norm, epsilon) : out;
  };
  x = x + finished(product(kAttentionOut, attended), weights.attention_post_norm);
  const auto activated = activate(product(kFeedIn, normalise(x, weights.feed_norm, epsilon)), config_.activation);
  return x.add_(finished(product(kFeedOut, activated), weights.feed_post_norm));
}

Result<at::Tensor> CausalModel::prefill(std::span<const std::int32_t> tokens, KeyValueCache& cache,
                                        const LoraWeights* lora) const {
  const Prompt prompt{tokens, &cache, lora};
  return TRY(prefill({&prompt, 1})).select(0, 0);
}

Result<at::Tensor> CausalModel::prefill(std::span<const Prompt> prompts) const {
  c10::InferenceMode guard;
  std::int64_t rows = 0;
  bool together = !prompts.empty();
  std::vector<NewTokens> pieces;
  for (const auto& [tokens, cache, lora, whole] : prompts) {
    TRY(check(tokens, *cache));
    const auto length = std::clamp(whole, cache->length_ + std::ssize(tokens), config_.context_length);
    refresh(*cache, length, lora, Growth::prompt);
    pieces.push_back({tokens, cache, lora, length, true});
    rows += std::ssize(tokens);
    together = together && reads_by_rows(lora);
  }
  if (together && rows <= kPiece) return compute_rows(pieces, Wanted::logits);
  std::vector<at::Tensor> logits;
  for (const auto& piece : pieces) logits.push_back(append(piece.tokens, piece.length, *piece.cache, piece.lora, Wanted::logits));
  return at::stack(logits);
}

// The small products of adapters are computed row by row there, which is dear for many rows.
bool CausalModel::reads_by_rows(const LoraWeights* lora) const {
  const auto packed_alone = [](const LayerWeights& layer) {
    for (int product = 0; product < kProducts; ++product)
      if (!layer.packed[product].defined() || layer.products[product].defined()) return false;
    return true;
  };
  return lora == nullptr && std::ranges::all_of(weights_.layers, packed_alone);
}

void CausalModel::refresh(KeyValueCache& cache, std::int64_t length, const LoraWeights* lora, Growth growth) const {
  const auto serves = growth == Growth::prompt ? &RotaryTable::keys_serve : &RotaryTable::keys_stay;
  const bool serve = (rotary_.*serves)(cache.turned_length_, length) && (window_rotary_.*serves)(cache.turned_length_, length);
  if (serve && growth == Growth::token) return;
  cache.turned_length_ = length;
  if (serve || cache.length_ == 0) return;
  const auto tokens = cache.tokens_;
  cache.truncate(0);
  append(tokens, length, cache, lora, Wanted::cache);
}

at::Tensor CausalModel::append(std::span<const std::int32_t> tokens, std::int64_t length, KeyValueCache& cache,
                               const LoraWeights* lora, Wanted wanted) const {
  at::Tensor out;
  const bool by_rows = reads_by_rows(lora);
  for (std::size_t begin = 0; begin < tokens.size(); begin += kPiece) {
    const auto piece = tokens.subspan(begin, std::min<std::size_t>(kPiece, tokens.size() - begin));
    const bool last = wanted == Wanted::logits && begin + piece.size() == tokens.size();
    if (by_rows) {
      const NewTokens added{piece, &cache, lora, length, true};
      out = compute_rows({&added, 1}, last ? Wanted::logits : Wanted::cache);
      continue;
    }
    const auto x = append_piece(piece, length, cache, lora);
    if (last) out = logits(x.narrow(0, x.size(0) - 1, 1));
  }
  return wanted == Wanted::logits ? out.select(0, 0) : out;
}

at::Tensor CausalModel::append_piece(std::span<const std::int32_t> tokens, std::int64_t length, KeyValueCache& cache,
                                     const LoraWeights* lora) const {
  const std::int64_t n = std::ssize(tokens), past = cache.length_, d = config_.head_size, heads = config_.key_heads;
  auto x = embed(tensor_of(tokens), at::arange(past, past + n, at::kLong));
  const auto angles = rotary_.angles(length, past), window_angles = window_rotary_.angles(length, past);
  for (std::int64_t index = 0; index < config_.layers; ++index) {
    const auto& weights = weights_.layers[static_cast<std::size_t>(index)];
    const auto layer = attention_of(index);
    const Angles& turn = &layer.rotary == &rotary_ ? angles : window_angles;
    auto qkv = project(normalise(x, weights.attention_norm, config_.norm_epsilon), weights, kAttentionIn,
                       pair_of(lora, index, kAttentionIn), nullptr);
    with_type_of(qkv, [&](auto type) {
      RowAttention<decltype(type)> attention{layer};
      auto* rows = qkv.template mutable_data_ptr<decltype(type)>();
      at::parallel_for(0, n, 8, [&](std::int64_t begin, std::int64_t end) {
        std::vector<float> wide(static_cast<std::size_t>(d));
        for (std::int64_t r = begin; r < end; ++r) {
          auto* row = rows + r * qkv.size(1);
          attention.prepare(row, config_.heads, layer.query_norm, turn, past + r, wide.data());
          attention.prepare(row + config_.query_width(), heads, layer.key_norm, turn, past + r, wide.data());
        }
      });
    });
    const auto parts = qkv.split_with_sizes({config_.query_width(), config_.key_width(), config_.key_width()}, 1);
    const auto keys = cache.keys_[index], values = cache.values_[index];
    keys.narrow(1, past, n).copy_(parts[1].reshape({n, heads, d}).transpose(0, 1));
    values.narrow(1, past, n).copy_(parts[2].reshape({n, heads, d}).transpose(0, 1));
    const auto attended = attend_cached(qkv, keys, values, past + 1, layer);
    x = feed(index, x, attended, lora);
  }
  cache.length_ += n;
  cache.tokens_.insert(cache.tokens_.end(), tokens.begin(), tokens.end());
  return x;
}

Result<at::Tensor> CausalModel::decode(std::span<const DecodeStep> steps) const {
  c10::InferenceMode guard;
  if (steps.empty()) return fail(ErrorCode::invalid_argument, "no sequences to decode");
  for (const auto& step : steps) TRY(check({&step.token, 1}, *step.cache));
  for (const auto& step : steps) refresh(*step.cache, step.cache->length_ + 1, step.lora, Growth::token);
  std::vector<NewTokens> pieces;
  for (const auto& step : steps) pieces.push_back({{&step.token, 1}, step.cache, step.lora, step.cache->length_ + 1, false});
  return compute_rows(pieces, Wanted::logits);
}

}  // namespace redoubt::engine::model
