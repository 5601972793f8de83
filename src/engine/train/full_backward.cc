// SPDX-License-Identifier: Apache-2.0
#include "engine/train/full_backward.h"

#include "engine/model/head_loss.h"
#include "engine/model/layer_math.h"

namespace redoubt::engine::train {
namespace {

using model::LayerState;
using model::Product;

constexpr std::int64_t kSlice = 256;  // rows whose logits are in memory at once

class FullBackward {
 public:
  FullBackward(const model::CausalModel& base, const FullWeights& full, const evaluate::AnswerBatch& batch, at::Tensor& gradient)
      : base_(base), full_(full), batch_(batch), gradient_(gradient), epsilon_(base.config().norm_epsilon) {}

  // Losses of the answer rows; `dx` receives the gradient of the last layer's output.
  at::Tensor head(const at::Tensor& x, const Weighting& weighting, at::Tensor& dx) {
    // Where the weights hang on the losses, these are computed first.
    const auto first = weighting.by_example ? model::head_loss(base_, x, batch_.targets, 0).losses : at::empty({x.size(0)}, at::kFloat);
    const auto scale = weights_of_rows(batch_, weighting, first).unsqueeze(1);
    const auto losses = at::empty({x.size(0)}, at::kFloat);
    dx = at::zeros_like(x);
    for (std::int64_t begin = 0; begin < x.size(0); begin += kSlice) {
      const std::int64_t rows = std::min(kSlice, x.size(0) - begin);
      auto part = dx.narrow(0, begin, rows);
      losses.narrow(0, begin, rows).copy_(head_slice(x.narrow(0, begin, rows), batch_.targets.narrow(0, begin, rows),
                                                      scale.narrow(0, begin, rows), part));
    }
    return losses;
  }

  // The gradient of the layer's input for that of its output; uses up `state`.
  at::Tensor layer(std::int64_t index, LayerState& state, at::Tensor dout) {
    const auto& weights = base_.weights().layers[static_cast<std::size_t>(index)];
    auto dpart = before_norm(state.feed_out, weights.feed_post_norm, dout);
    model::activate_backward(state.gate_up, base_.config().activation, product(weights, model::kFeedOut, state.activated, dpart));
    norm_backward(state.middle, weights.feed_norm, product(weights, model::kFeedIn, state.feed_normed, state.gate_up), dout);

    dpart = before_norm(state.attention_out, weights.attention_post_norm, dout);
    auto dattended = product(weights, model::kAttentionOut, state.attended, dpart);
    if (index + 1 == base_.config().layers) {
      dattended = spread(dattended, state.input.size(0));
      dout = spread(dout, state.input.size(0));
    }
    const auto dqkv = attention(base_.attention_of(index), state.attention, dattended);
    norm_backward(state.input, weights.attention_norm, product(weights, model::kAttentionIn, state.attention_normed, dqkv), dout);
    return dout;
  }

  void embeddings(const at::Tensor& dx) {
    const auto& weights = base_.weights();
    const auto padding = base_.config().padding_token;
    const auto of_tokens = padding ? dx.to(at::kFloat).masked_fill((batch_.packed.tokens == *padding).unsqueeze(1), 0) : dx.to(at::kFloat);
    place(weights.embedding).index_add_(0, batch_.packed.tokens, of_tokens, base_.config().embedding_scale);
    if (weights.positions.defined()) place(weights.positions).index_add_(0, batch_.packed.positions, dx.to(at::kFloat));
  }

 private:
  at::Tensor place(const at::Tensor& weight) const { return full_.place_of(weight, gradient_); }

  at::Tensor product(const model::LayerWeights& weights, Product which, const at::Tensor& x, const at::Tensor& dy) {
    place(weights.products[which]).add_(model::matrix_product(dy.t(), x));
    if (weights.biases[which].defined()) place(weights.biases[which]).add_(dy.sum(0, false, at::kFloat));
    return model::matrix_product(dy, weights.products[which]);
  }

  // The gradient of query, key and value for that of what was attended to. The weights of heads' norms have theirs from the gradient
  // behind the norms, so attention's own way back goes only so far.
  at::Tensor attention(const model::AttentionLayer& layer, model::AttentionState& state, const at::Tensor& dout) {
    if (!layer.norms_heads()) return model::attend_backward(dout, layer, batch_.packed.segments, state);
    const model::Norm none;
    const auto raw = state.qkv;
    auto dqkv = model::attend_backward(dout, {layer.config, layer.rotary, none, none, layer.scoring}, batch_.packed.segments, state);
    heads_backward(raw, layer.query_norm, 0, layer.config.query_width(), dqkv);
    heads_backward(raw, layer.key_norm, layer.config.query_width(), layer.config.key_width(), dqkv);
    return dqkv;
  }

  // Of the heads in some columns: the gradient of what the norm answered becomes that of what it was given.
  void heads_backward(const at::Tensor& raw, const model::Norm& norm, std::int64_t column, std::int64_t columns, at::Tensor& dqkv) {
    if (!norm.defined()) return;
    const auto heads_of = [&](const at::Tensor& rows) { return rows.narrow(1, column, columns).reshape({-1, base_.config().head_size}); };
    const auto dy = heads_of(dqkv);
    auto dx = at::zeros_like(dy);
    norm_backward(heads_of(raw), norm, dy, dx);
    dqkv.narrow(1, column, columns).copy_(dx.view({-1, columns}));
  }

  // The gradients of a norm's weights; that of its input is added to `dx`.
  void norm_backward(const at::Tensor& x, const model::Norm& norm, const at::Tensor& dy, at::Tensor& dx) {
    auto wide = x.to(at::kFloat);
    if (base_.config().norm == model::NormKind::layer) wide = wide - wide.mean(1, true);
    const auto unit = wide * at::rsqrt(wide.square().mean(1, true) + epsilon_);
    const auto wide_dy = dy.to(at::kFloat);
    place(norm.weight).add_((wide_dy * unit).sum(0));
    if (norm.bias.defined()) place(norm.bias).add_(wide_dy.sum(0));
    model::normalise_backward(x, norm, epsilon_, dy, dx);
  }

  at::Tensor before_norm(const at::Tensor& x, const model::Norm& post, const at::Tensor& dy) {
    if (!post.defined()) return dy;
    auto dx = at::zeros_like(x);
    norm_backward(x, post, dy, dx);
    return dx;
  }

  at::Tensor head_slice(const at::Tensor& x, const at::Tensor& targets, const at::Tensor& scale, at::Tensor& dx) {
    const auto& weights = base_.weights();
    const double cap = base_.config().logit_softcap;
    const auto normed = model::normalise(x, weights.final_norm, epsilon_);
    auto logits = model::matrix_product(normed, weights.head.t()).to(at::kFloat);
    at::Tensor bent;
    if (cap > 0) {
      bent = at::tanh(logits / cap);
      logits = bent * cap;
    }
    const auto likelihoods = at::log_softmax(logits, 1);
    const auto index = targets.unsqueeze(1);
    const auto losses = -likelihoods.gather(1, index).squeeze(1);
    auto dlogits = likelihoods.exp();
    dlogits.scatter_add_(1, index, at::full({index.size(0), 1}, -1.0, at::kFloat));
    dlogits.mul_(scale);
    if (cap > 0) dlogits.mul_(1 - bent.square());
    const auto narrow = dlogits.to(x.scalar_type());
    place(weights.head).add_(model::matrix_product(narrow.t(), normed));
    norm_backward(x, weights.final_norm, model::matrix_product(narrow, weights.head), dx);
    return losses;
  }

  at::Tensor spread(const at::Tensor& rows, std::int64_t all) const {
    return at::zeros({all, rows.size(1)}, rows.options()).index_copy_(0, batch_.rows, rows);
  }

  const model::CausalModel& base_;
  const FullWeights& full_;
  const evaluate::AnswerBatch& batch_;
  at::Tensor& gradient_;
  double epsilon_;
};

}  // namespace

BatchLoss add_full_gradient(const model::CausalModel& base, const FullWeights& weights,
                            std::span<const data::Example* const> examples, const Weighting& weighting, std::int64_t keep_rows_max,
                            at::Tensor& gradient) {
  c10::InferenceMode guard;
  const auto batch = evaluate::pack_answers(examples, evaluate::sharing_of(examples, base));
  const bool keep_all = batch.packed.tokens.size(0) <= keep_rows_max;
  const std::int64_t layers = base.config().layers;
  const auto forward = [&](std::int64_t layer, const at::Tensor& input, LayerState* state) {
    return base.forward_layer(layer, input, batch.packed, nullptr, layer + 1 == layers ? batch.rows : at::Tensor(), state);
  };
  std::vector<LayerState> states(static_cast<std::size_t>(layers));
  auto x = base.embed(batch.packed.tokens, batch.packed.positions);
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    auto& state = states[static_cast<std::size_t>(layer)];
    const auto input = x;
    x = forward(layer, input, keep_all ? &state : nullptr);
    state.input = input;
  }
  FullBackward backward(base, weights, batch, gradient);
  at::Tensor dx;
  const auto losses = backward.head(x, weighting, dx);
  for (std::int64_t layer = layers - 1; layer >= 0; --layer) {
    auto& state = states[static_cast<std::size_t>(layer)];
    if (!keep_all) {
      const auto input = state.input;
      forward(layer, input, &state);
    }
    dx = backward.layer(layer, state, dx);
    state = {};
  }
  backward.embeddings(dx);
  return sum_losses(batch, losses);
}

}  // namespace redoubt::engine::train
