// SPDX-License-Identifier: Apache-2.0
#include "engine/model/causal_model.h"

#include "engine/model/layer_math.h"

namespace redoubt::engine::model {

PackedBatch pack(std::span<const std::span<const std::int32_t>> examples) {
  c10::InferenceMode guard;
  PackedBatch batch;
  std::int64_t rows = 0;
  for (const auto& ids : examples) {
    batch.segments.push_back({rows, std::ssize(ids)});
    rows += std::ssize(ids);
  }
  batch.tokens = at::empty({rows}, at::kLong);
  std::int64_t* to = batch.tokens.mutable_data_ptr<std::int64_t>();
  for (const auto& ids : examples) to = std::copy(ids.begin(), ids.end(), to);
  batch.groups = group_segments(batch.segments);
  return batch;
}

const LoraPair* pair_of(const LoraWeights* lora, std::int64_t layer, Product product) {
  if (!lora) return nullptr;
  const auto& pair = (*lora)[static_cast<std::size_t>(layer)][product];
  return pair.a.defined() ? &pair : nullptr;
}

at::Tensor project(const at::Tensor& x, const at::Tensor& weight, const LoraPair* lora, at::Tensor* reduced) {
  auto y = multiply_transposed(x, weight);
  if (!lora) return y;
  const auto& dropout = lora->dropout;
  auto low = multiply_transposed(dropout.rate > 0 ? drop(x, dropout.rate, dropout.key) : x, lora->a);
  if (x.size(0) <= 4)
    y.add_(multiply_transposed(low, lora->b));
  else
    y.addmm_(low, lora->b.t());
  if (reduced) *reduced = std::move(low);
  return y;
}

CausalModel::CausalModel(Config config, Weights weights, Precision precision)
    : config_(std::move(config)), weights_(std::move(weights)), precision_(precision), rotary_(config_) {}

Result<std::unique_ptr<CausalModel>> CausalModel::load(const std::filesystem::path& folder, Precision precision) {
  auto config = TRY(read_config(folder));
  const auto files = TRY(weights::ModelFiles::open_folder(folder));
  auto weights = TRY(load_weights(files, config, precision));
  return std::make_unique<CausalModel>(std::move(config), std::move(weights), precision);
}

at::Tensor CausalModel::forward(const PackedBatch& batch, const LoraWeights* lora, const at::Tensor& rows,
                          std::vector<LayerState>* keep) const {
  c10::InferenceMode guard;
  auto x = weights_.embedding.index_select(0, batch.tokens);
  if (keep) keep->resize(static_cast<std::size_t>(config_.layers));
  for (std::int64_t layer = 0; layer < config_.layers; ++layer) {
    const bool last = layer + 1 == config_.layers;
    x = forward_layer(layer, x, batch, lora, last ? rows : at::Tensor(),
                      keep ? &(*keep)[static_cast<std::size_t>(layer)] : nullptr);
  }
  return x;
}

at::Tensor CausalModel::forward_layer(std::int64_t layer, const at::Tensor& x, const PackedBatch& batch, const LoraWeights* lora,
                                const at::Tensor& rows, LayerState* keep) const {
  const auto& weights = weights_.layers[static_cast<std::size_t>(layer)];
  LayerState state;
  state.input = x;
  state.attention_normed = rms_norm(x, weights.attention_norm, config_.rms_epsilon);
  auto qkv = project(state.attention_normed, weights.products[kAttentionIn], pair_of(lora, layer, kAttentionIn),
                     &state.reduced[kAttentionIn]);
  state.attended = attend(qkv, config_, rotary_, batch.groups, keep ? &state.attention : nullptr);
  qkv.reset();
  if (rows.defined()) state.attended = state.attended.index_select(0, rows);
  state.middle = project(state.attended, weights.products[kAttentionOut], pair_of(lora, layer, kAttentionOut),
                         &state.reduced[kAttentionOut]);
  state.middle.add_(rows.defined() ? x.index_select(0, rows) : x);
  state.feed_normed = rms_norm(state.middle, weights.feed_norm, config_.rms_epsilon);
  state.gate_up =
      project(state.feed_normed, weights.products[kFeedIn], pair_of(lora, layer, kFeedIn), &state.reduced[kFeedIn]);
  state.activated = swiglu(state.gate_up);
  auto out = project(state.activated, weights.products[kFeedOut], pair_of(lora, layer, kFeedOut), &state.reduced[kFeedOut]);
  out.add_(state.middle);
  if (keep) *keep = std::move(state);
  return out;
}

at::Tensor CausalModel::logits(const at::Tensor& residual) const {
  c10::InferenceMode guard;
  return multiply_transposed(rms_norm(residual, weights_.final_norm, config_.rms_epsilon), weights_.head).to(at::kFloat);
}

}  // namespace redoubt::engine::model
