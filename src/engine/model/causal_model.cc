// SPDX-License-Identifier: Apache-2.0
#include "engine/model/causal_model.h"

#include "engine/model/base_digest.h"
#include <algorithm>

#include "engine/model/layer_math.h"
#include "engine/model/low_rank_products.h"

namespace redoubt::engine::model {

const LoraPair* pair_of(const LoraWeights* lora, std::int64_t layer, Product product) {
  if (!lora) return nullptr;
  const auto& pair = (*lora)[static_cast<std::size_t>(layer)][product];
  return pair.a.defined() ? &pair : nullptr;
}

namespace {

constexpr std::int64_t kReducedRowsMin = 16;  // fewer are not worth the panels that an adapter's matrix becomes
constexpr std::int64_t kPanelRowsMax = 64;  // beyond, a matrix that is dense too is multiplied as such

at::Tensor multiply_widened(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const LowRank& more) {
  auto y = at::linear(x.to(at::kFloat), in_product_type(weight, at::kFloat)).addmm_(more.low.to(at::kFloat), more.factor.to(at::kFloat).t());
  if (bias.defined()) y.add_(bias);
  return y.to(x.scalar_type());
}

// x W^T plus `bias`, which may be undefined, and `more`, which is null but where adds_within() says so.
at::Tensor product_of(const at::Tensor& x, const LayerWeights& weights, Product product, const at::Tensor& bias, const LowRank* more = nullptr) {
  const auto &dense = weights.products[product];
  const auto& quantised = weights.quantised[product];
  const auto& packed = weights.packed[product];
  const bool by_panels = packed.defined() && (x.size(0) <= kPanelRowsMax || !dense.defined());
  if (!by_panels && !quantised.defined()) return more ? multiply_widened(x, dense, bias, *more) : multiply_transposed(x, dense, bias);
  const auto multiply = [&](const auto& matrix) { return more ? matrix.multiply(x, *more) : matrix.multiply(x); };
  auto y = by_panels ? multiply(packed) : multiply(quantised);
  if (bias.defined()) y.add_(bias);
  return y;
}

// Whether the adapter's part can be a part of the product's own sums, so that it is not added to what is rounded already.
bool adds_within(const at::Tensor& x, const LayerWeights& weights, Product product, const at::Tensor& low) {
  if (weights.quantised[product].defined()) return true;
  const auto& packed = weights.packed[product];
  if (!packed.defined()) return product_type(x) != x.scalar_type();
  return !weights.products[product].defined() && x.scalar_type() == at::kBFloat16 && PackedMatrix::can_add(low);
}

// DoRA's outputs: the scale is fp32 whatever the model's precision, and the bias is no part of it.
at::Tensor scale_rows(const at::Tensor& y, const at::Tensor& scale, const at::Tensor& bias) {
  auto out = y.to(at::kFloat).mul_(scale);
  if (bias.defined()) out.add_(bias);
  return out.to(y.scalar_type());
}

}  // namespace

at::Tensor project(const at::Tensor& x, const LayerWeights& weights, Product product, const LoraPair* lora,
                   at::Tensor* reduced) {
  const bool scaled = lora && lora->row_scale.defined();
  const auto& bias = scaled ? at::Tensor() : weights.biases[product];
  if (!lora) return product_of(x, weights, product, bias);
  const auto& dropout = lora->dropout;
  const auto in = dropout.rate > 0 ? drop(x, dropout.rate, dropout.key) : x;
  auto low = x.size(0) >= kReducedRowsMin && multiplies_low_rank(in) ? reduce(in, lora->a) : multiply_transposed(in, lora->a);
  if (!scaled && adds_within(x, weights, product, low)) {
    const LowRank more{low, lora->b, lora->bands};
    if (reduced) *reduced = std::move(low);
    return product_of(x, weights, product, bias, &more);
  }
  auto y = product_of(x, weights, product, bias);
  if (x.size(0) <= 4)
    y.add_(multiply_transposed(low, lora->b));
  else
    y.addmm_(low, lora->b.t());
  if (scaled) y = scale_rows(y, lora->row_scale, weights.biases[product]);
  if (reduced) *reduced = std::move(low);
  return y;
}

CausalModel::CausalModel(Config config, Weights weights, Precision precision)
    : config_(std::move(config)),
      weights_(std::move(weights)),
      precision_(precision),
      embedding_scale_(precision == Precision::bf16
                           ? static_cast<double>(static_cast<float>(row::bf16(static_cast<float>(config_.embedding_scale))))
                           : config_.embedding_scale) {
  if (config_.rope) rotary_ = RotaryTable(*config_.rope, config_.head_size, config_.context_length);
  if (config_.window_rope) window_rotary_ = RotaryTable(*config_.window_rope, config_.head_size, config_.context_length);
}

Result<std::unique_ptr<CausalModel>> CausalModel::load(const std::filesystem::path& folder, Precision precision, WeightFormat format) {
  auto config = TRY(read_config(folder));
  const auto files = TRY(weights::ModelFiles::open_folder(folder));
  auto weights = TRY(load_weights(files, config, precision, format));
  auto digest = TRY(base_digest(files, config));
  auto model = std::make_unique<CausalModel>(std::move(config), std::move(weights), precision);
  model->digest_ = std::move(digest);
  return model;
}

Status CausalModel::quantise(WeightFormat format) {
  if (format == WeightFormat::as_loaded) return {};
  c10::InferenceMode guard;
  TRY(check_format(config_, format));
  for (auto& layer : weights_.layers) layer.quantise(format);
  weights_.quantise_head(config_.tied_embeddings);
  return {};
}

AttentionLayer CausalModel::attention_of(std::int64_t layer) const {
  const auto& weights = weights_.layers[static_cast<std::size_t>(layer)];
  const std::int64_t window = config_.window(layer);
  return {
      config_, window > 0 && config_.window_rope ? window_rotary_ : rotary_, weights.query_norm, weights.key_norm,
      Scoring{static_cast<float>(config_.attention_scale(layer)), static_cast<float>(config_.attention_softcap), window}};
}

at::Tensor CausalModel::embed(const at::Tensor& tokens, const at::Tensor& positions) const {
  auto x = weights_.embedding.index_select(0, tokens);
  if (config_.embedding_scale != 1) x.mul_(embedding_scale_);
  if (weights_.positions.defined()) x.add_(weights_.positions.index_select(0, positions));
  return x;
}

at::Tensor CausalModel::forward(const PackedBatch& batch, const LoraWeights* lora, const at::Tensor& rows,
                                std::vector<LayerState>* keep) const {
  c10::InferenceMode guard;
  auto x = embed(batch.tokens, batch.positions);
  if (keep) keep->resize(static_cast<std::size_t>(config_.layers));
  for (std::int64_t layer = 0; layer < config_.layers; ++layer) {
    const bool last = layer + 1 == config_.layers;
    x = forward_layer(layer, x, batch, lora, last ? rows : at::Tensor(),
                      keep ? &(*keep)[static_cast<std::size_t>(layer)] : nullptr);
  }
  return x;
}

at::Tensor CausalModel::forward_layer(std::int64_t layer, const at::Tensor& x, const PackedBatch& batch,
                                      const LoraWeights* lora, const at::Tensor& rows, LayerState* keep) const {
  const auto& weights = weights_.layers[static_cast<std::size_t>(layer)];
  const double epsilon = config_.norm_epsilon;
  LayerState state;
  const auto product = [&](Product which, const at::Tensor& in) {
    return project(in, weights, which, pair_of(lora, layer, which), &state.reduced[which]);
  };
  state.input = x;
  state.attention_normed = normalise(x, weights.attention_norm, epsilon);
  state.attended = attend(product(kAttentionIn, state.attention_normed), attention_of(layer), batch.segments,
                          keep ? &state.attention : nullptr);
  if (rows.defined()) state.attended = state.attended.index_select(0, rows);
  state.middle = product(kAttentionOut, state.attended);
  if (weights.attention_post_norm.defined()) {
    state.attention_out = state.middle;
    state.middle = normalise(state.attention_out, weights.attention_post_norm, epsilon);
  }
  state.middle.add_(rows.defined() ? x.index_select(0, rows) : x);
  state.feed_normed = normalise(state.middle, weights.feed_norm, epsilon);
  state.gate_up = product(kFeedIn, state.feed_normed);
  state.activated = activate(state.gate_up, config_.activation);
  auto out = product(kFeedOut, state.activated);
  if (weights.feed_post_norm.defined()) {
    state.feed_out = out;
    out = normalise(state.feed_out, weights.feed_post_norm, epsilon);
  }
  out.add_(state.middle);
  if (keep) *keep = std::move(state);
  return out;
}

at::Tensor CausalModel::apply_head(const at::Tensor& x) const {
  if (weights_.packed_head.defined()) return weights_.packed_head.multiply(x);
  return weights_.quantised_head.defined() ? weights_.quantised_head.multiply(x) : multiply_transposed(x, weights_.head);
}

at::Tensor CausalModel::logits(const at::Tensor& residual) const {
  c10::InferenceMode guard;
  auto out = apply_head(normalise(residual, weights_.final_norm, config_.norm_epsilon)).to(at::kFloat);
  if (config_.logit_softcap > 0)
    row::soft_cap(out.mutable_data_ptr<float>(), 1, static_cast<float>(config_.logit_softcap), out.numel());
  return out;
}

}  // namespace redoubt::engine::model
