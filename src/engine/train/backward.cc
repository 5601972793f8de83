// SPDX-License-Identifier: Apache-2.0
#include "engine/train/backward.h"

#include <algorithm>

#include "engine/model/head_loss.h"
#include "engine/model/layer_math.h"
#include "engine/model/low_rank_products.h"

namespace redoubt::engine::train {
namespace {

using model::LayerState;
using model::Product;

class Backward {
 public:
  Backward(const model::CausalModel& base, const model::Adapter& adapter, const model::LoraWeights& working,
           const evaluate::AnswerBatch& batch, at::Tensor& gradient)
      : base_(base), adapter_(adapter), working_(working), batch_(batch), gradient_(gradient) {}

  // The gradient of the layer's input for that of its output; uses up `state`. Undefined for the first layer.
  at::Tensor layer(std::int64_t index, LayerState& state, at::Tensor dout) {
    const auto& weights = base_.weights().layers[static_cast<std::size_t>(index)];
    const auto& config = base_.config();
    const bool first = index == 0, last = index + 1 == config.layers;
    layer_ = index;

    auto dpart = before_norm(state.feed_out, weights.feed_post_norm, dout);
    model::activate_backward(state.gate_up, config.activation,
                             product(model::kFeedOut, state.activated, state.reduced[model::kFeedOut], dpart, true));
    auto dnormed = product(model::kFeedIn, state.feed_normed, state.reduced[model::kFeedIn], state.gate_up, true);
    // dout is now that of `middle`.
    model::normalise_backward(state.middle, weights.feed_norm, config.norm_epsilon, dnormed, dout);

    dpart = before_norm(state.attention_out, weights.attention_post_norm, dout);
    auto dattended = product(model::kAttentionOut, state.attended, state.reduced[model::kAttentionOut], dpart, true);
    if (last) {
      dattended = spread(dattended, state.input.size(0));
      dout = spread(dout, state.input.size(0));
    }
    const auto dqkv = model::attend_backward(dattended, base_.attention_of(index), batch_.packed.segments, state.attention);
    dnormed = product(model::kAttentionIn, state.attention_normed, state.reduced[model::kAttentionIn], dqkv, !first);
    if (first) return {};
    model::normalise_backward(state.input, weights.attention_norm, config.norm_epsilon, dnormed, dout);
    return dout;
  }

 private:
  // One product y = x W^T + low b^T with low = drop(x) a^T: the adapter's gradient, and that of x if wanted.
  at::Tensor product(Product which, const at::Tensor& x, const at::Tensor& low, const at::Tensor& dy, bool want_input) {
    const auto& weights = base_.weights().layers[static_cast<std::size_t>(layer_)];
    const auto* pair = model::pair_of(&working_, layer_, which);
    if (pair && pair->row_scale.defined()) {
      // DoRA: y = row_scale * z, and z is computed anew; kept, it would be the largest tensor of the layer.
      const auto type = model::product_type(x);
      const auto z = at::mm(x.to(type), weights.matrix(which, type).t()).addmm_(low.to(type), pair->b.to(type).t());
      adapter_.add_magnitude_gradient(layer_, which, (dy.to(at::kFloat) * z).sum(0), *pair, gradient_);
      return plain_product(pair, which, x, low, (dy.to(at::kFloat) * pair->row_scale).to(dy.scalar_type()), want_input);
    }
    return plain_product(pair, which, x, low, dy, want_input);
  }

  at::Tensor plain_product(const model::LoraPair* pair, Product which, const at::Tensor& x, const at::Tensor& low, const at::Tensor& dy,
                           bool want_input) {
    const auto& weights = base_.weights().layers[static_cast<std::size_t>(layer_)];
    const auto& packed = weights.packed_back[which];
    const auto type = model::product_type(dy);
    const auto wide_dy = dy.to(type);
    const auto through = [&] { return packed.defined() ? packed.multiply(dy) : at::mm(wide_dy, weights.matrix(which, type)); };
    if (!pair) return want_input ? through().to(dy.scalar_type()) : at::Tensor();
    const auto [rate, key] = pair->dropout;
    const auto in = rate > 0 ? model::drop(x, rate, key) : x;
    const bool narrow = model::multiplies_low_rank(in) && model::multiplies_low_rank(dy, pair->bands);
    const auto dlow = narrow ? model::reduce_back(dy, pair->b, pair->bands) : at::mm(wide_dy, pair->b.to(type));
    if (narrow)
      adapter_.add_gradient(layer_, which, in, low, dy, dlow, gradient_);
    else
      adapter_.add_gradient(layer_, which, at::mm(dlow.t(), in.to(type)), at::mm(wide_dy.t(), low.to(type)), gradient_);
    if (!want_input) return {};
    // The gradient passes where x did.
    if (rate > 0) return through().to(dy.scalar_type()).add_(model::drop(at::mm(dlow, pair->a.to(type)).to(dy.scalar_type()), rate, key));
    if (packed.defined() && model::PackedMatrix::can_add(dlow)) return packed.multiply(dy, {dlow, pair->a.t()});
    if (const auto& quantised = weights.quantised[which]; quantised.defined()) return quantised.multiply_back(dy, {dlow, pair->a.t()});
    return through().addmm_(dlow, pair->a.to(type)).to(dy.scalar_type());
  }

  // The gradient of what a part answered, where a norm stands before the residual stream takes it.
  at::Tensor before_norm(const at::Tensor& x, const model::Norm& norm, const at::Tensor& dy) const {
    if (!norm.defined()) return dy;
    auto dx = at::zeros_like(x);
    model::normalise_backward(x, norm, base_.config().norm_epsilon, dy, dx);
    return dx;
  }

  // Rows of the answers back among all rows; the others have no gradient.
  at::Tensor spread(const at::Tensor& rows, std::int64_t all) const {
    return at::zeros({all, rows.size(1)}, rows.options()).index_copy_(0, batch_.rows, rows);
  }

  const model::CausalModel& base_;
  const model::Adapter& adapter_;
  const model::LoraWeights& working_;
  const evaluate::AnswerBatch& batch_;
  at::Tensor& gradient_;
  std::int64_t layer_ = 0;
};

// Each row draws what it drops, so that none stands for another's.
bool drops(const model::LoraWeights& working) {
  return std::any_of(working.begin(), working.end(), [](const auto& layer) {
    return std::any_of(layer.begin(), layer.end(), [](const model::LoraPair& pair) { return pair.dropout.rate > 0; });
  });
}

}  // namespace

BatchLoss sum_losses(const evaluate::AnswerBatch& batch, const at::Tensor& losses) {
  BatchLoss out;
  const float* next = losses.const_data_ptr<float>();
  for (auto answers : batch.answers) {
    double nats = 0;
    for (std::int64_t i = 0; i < answers; ++i) nats += static_cast<double>(*next++);
    out.by_example.push_back(nats);
    out.nats += nats;
    out.answers += answers;
  }
  return out;
}

at::Tensor weights_of_rows(const evaluate::AnswerBatch& batch, const Weighting& weighting, const at::Tensor& losses) {
  std::int64_t row = 0;
  auto weights = at::full({losses.size(0)}, weighting.scale, at::kFloat);
  if (!weighting.by_example) return weights;
  const auto by_example = weighting.by_example(sum_losses(batch, losses).by_example);
  for (std::size_t i = 0; i < batch.answers.size(); row += batch.answers[i++])
    weights.narrow(0, row, batch.answers[i]).fill_(by_example[i]);
  return weights;
}

BatchLoss add_gradient(const model::CausalModel& base, const model::Adapter& adapter, const model::LoraWeights& working,
                       std::span<const data::Example* const> examples, const Weighting& weighting, std::int64_t keep_rows_max,
                       at::Tensor& gradient) {
  c10::InferenceMode guard;
  const auto batch = evaluate::pack_answers(examples, drops(working) ? evaluate::Sharing::alone : evaluate::sharing_of(examples, base));
  const bool keep_all = batch.packed.tokens.size(0) <= keep_rows_max;
  const std::int64_t layers = base.config().layers;
  const auto rows_of = [&](std::int64_t layer) { return layer + 1 == layers ? batch.rows : at::Tensor(); };

  std::vector<LayerState> states(static_cast<std::size_t>(layers));
  auto x = base.embed(batch.packed.tokens, batch.packed.positions);
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    auto& state = states[static_cast<std::size_t>(layer)];
    const auto input = x;
    x = base.forward_layer(layer, input, batch.packed, &working, rows_of(layer), keep_all ? &state : nullptr);
    if (!keep_all) state.input = input;
  }
  auto loss = model::head_loss(base, x, batch.targets, static_cast<float>(weighting.by_example ? 1 : weighting.scale));
  if (weighting.by_example) loss.gradient.mul_(weights_of_rows(batch, weighting, loss.losses).unsqueeze(1));

  Backward backward(base, adapter, working, batch, gradient);
  auto dx = loss.gradient;
  for (std::int64_t layer = layers - 1; layer >= 0; --layer) {
    auto& state = states[static_cast<std::size_t>(layer)];
    if (!keep_all) {
      const auto input = state.input;
      base.forward_layer(layer, input, batch.packed, &working, rows_of(layer), &state);
    }
    dx = backward.layer(layer, state, dx);
    state = {};
  }
  return sum_losses(batch, loss.losses);
}

}  // namespace redoubt::engine::train
