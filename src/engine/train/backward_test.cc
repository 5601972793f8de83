// SPDX-License-Identifier: Apache-2.0
//
// The backward pass against libtorch's autograd over a forward pass written again, plainly, and against differences.
#include "engine/train/backward.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/train/testing.h"

namespace redoubt::engine::train {
namespace {

using model::Product;

at::Tensor norm(at::Tensor x, const model::Norm& norm, double epsilon) {
  if (!norm.defined()) return x;
  if (norm.bias.defined()) x = x - x.mean(-1, true);
  x = x * at::rsqrt(x.pow(2).mean(-1, true) + epsilon) * norm.weight.clone();
  return norm.bias.defined() ? x + norm.bias.clone() : x;
}

at::Tensor capped(const at::Tensor& x, double cap) { return cap > 0 ? at::tanh(x / cap) * cap : x; }

// Transformers' rotate_half on the turned part of [tokens, heads, d].
at::Tensor turn(const at::Tensor& x, const std::optional<model::Rope>& rope) {
  if (!rope) return x;
  const auto d = static_cast<std::int64_t>(static_cast<double>(x.size(2)) * rope->partial);
  auto frequency = at::pow(rope->theta, -at::arange(0, d, 2, at::kFloat) / d) / rope->factor;
  auto angle = at::outer(at::arange(x.size(0), at::kFloat), frequency);
  angle = at::cat({angle, angle}, -1).unsqueeze(1);
  const auto turned = x.narrow(2, 0, d);
  auto halves = turned.chunk(2, -1);
  return at::cat({turned * angle.cos() + at::cat({-halves[1], halves[0]}, -1) * angle.sin(), x.narrow(2, d, x.size(2) - d)},
                 -1);
}

at::Tensor activate(const at::Tensor& x, model::Activation activation) {
  if (activation == model::Activation::gelu) return at::gelu(x, "tanh");
  const auto parts = x.chunk(2, -1);
  return (activation == model::Activation::gated_silu ? at::silu(parts[0]) : at::gelu(parts[0], "tanh")) * parts[1];
}

// One layer on one example's residual stream, as Transformers' modelling files write it.
class PlainLayer {
 public:
  PlainLayer(const model::CausalModel& base, const model::LoraWeights& lora, std::int64_t index)
      : c_(base.config()),
        w_(base.weights().layers[static_cast<std::size_t>(index)]),
        lora_(lora[static_cast<std::size_t>(index)]),
        index_(index) {}

  at::Tensor operator()(at::Tensor x) const {
    const double epsilon = c_.norm_epsilon;
    x = x + norm(attention(norm(x, w_.attention_norm, epsilon)), w_.attention_post_norm, epsilon);
    const auto activated = activate(linear(norm(x, w_.feed_norm, epsilon), model::kFeedIn), c_.activation);
    return x + norm(linear(activated, model::kFeedOut), w_.feed_post_norm, epsilon);
  }

 private:
  at::Tensor linear(const at::Tensor& in, Product p) const {
    auto out = at::linear(in, w_.products[p].clone());
    if (w_.biases[p].defined()) out = out + w_.biases[p].clone();
    return lora_[p].a.defined() ? out + at::linear(at::linear(in, lora_[p].a), lora_[p].b) : out;
  }

  at::Tensor attention(const at::Tensor& in) const {
    const auto n = in.size(0), window = c_.window(index_);
    const auto& rope = window > 0 && c_.window_rope ? c_.window_rope : c_.rope;
    const auto qkv = linear(in, model::kAttentionIn).view({n, -1, c_.head_size});
    auto q = turn(norm(qkv.narrow(1, 0, c_.heads), w_.query_norm, c_.norm_epsilon), rope).transpose(0, 1);
    auto k = turn(norm(qkv.narrow(1, c_.heads, c_.key_heads), w_.key_norm, c_.norm_epsilon), rope)
                 .repeat_interleave(c_.query_group(), 1)
                 .transpose(0, 1);
    auto v = qkv.narrow(1, c_.heads + c_.key_heads, c_.key_heads).repeat_interleave(c_.query_group(), 1).transpose(0, 1);
    auto mask = at::full({n, n}, -INFINITY).triu(1);
    if (window > 0) mask = mask + at::full({n, n}, -INFINITY).tril(-window);
    const auto scores = capped(at::matmul(q, k.transpose(1, 2)) * c_.attention_scale(index_), c_.attention_softcap);
    const auto p = (scores + mask).softmax(-1);
    return linear(at::matmul(p, v).transpose(0, 1).reshape({n, c_.query_width()}), model::kAttentionOut);
  }

  const model::Config& c_;
  const model::LayerWeights& w_;
  const std::array<model::LoraPair, model::kProducts>& lora_;
  std::int64_t index_;
};

// Summed nats of one example's answer.
at::Tensor plain_loss(const model::CausalModel& base, const model::LoraWeights& lora, const data::Example& example) {
  const auto& c = base.config();
  const std::int64_t n = std::ssize(example.ids);
  const auto ids = at::tensor(at::ArrayRef<std::int32_t>(example.ids)).to(at::kLong);
  auto x = base.weights().embedding.clone().index_select(0, ids) * c.embedding_scale;
  if (base.weights().positions.defined()) x = x + base.weights().positions.clone().narrow(0, 0, n);
  for (std::int64_t i = 0; i < c.layers; ++i) x = PlainLayer(base, lora, i)(x);
  auto logits = at::linear(norm(x, base.weights().final_norm, c.norm_epsilon), base.weights().head.clone());
  logits = capped(logits, c.logit_softcap);
  auto chosen = at::log_softmax(logits, -1).narrow(0, 0, n - 1).gather(1, ids.narrow(0, 1, n - 1).unsqueeze(1)).squeeze(1);
  return -chosen.narrow(0, example.answer_start - 1, n - example.answer_start).sum();
}

// A configuration with one option that changes the computation.
struct Option {
  const char* name;
  void (*set)(model::Config&);
};
const Option kOptions[] = {
    {"none", [](model::Config&) {}},
    {"biases", [](model::Config& c) { c.biased = {true, true, true, true}; }},
    {"bias_of_the_first_product", [](model::Config& c) { c.biased = {true, false, false, false}; }},
    {"layer_norm", [](model::Config& c) { c.norm = model::NormKind::layer; }},
    {"post_norms", [](model::Config& c) { c.names.attention_post_norm = "a", c.names.feed_post_norm = "b"; }},
    {"query_and_key_norms", [](model::Config& c) { c.names.query_norm = "a", c.names.key_norm = "b"; }},
    {"gated_gelu", [](model::Config& c) { c.activation = model::Activation::gated_gelu; }},
    {"gelu", [](model::Config& c) { c.activation = model::Activation::gelu; }},
    {"attention_cap", [](model::Config& c) { c.attention_softcap = 1.5; }},
    {"logit_cap", [](model::Config& c) { c.logit_softcap = 2; }},
    {"scales", [](model::Config& c) { c.attention_scales = {0.2, 0.5, 0.1}, c.embedding_scale = 3; }},
    {"windows", [](model::Config& c) { c.windows = {4, 0, 7}; }},
    {"windows_with_other_angles",
     [](model::Config& c) { c.windows = {4, 0, 7}, c.window_rope = model::Rope{.theta = 100}, c.attention_softcap = 2; }},
    {"part_of_a_head", [](model::Config& c) { c.rope->partial = 0.5; }},
    {"learned_positions", [](model::Config& c) { c.rope.reset(), c.names.positions = "p"; }},
    {"everything", [](model::Config& c) {
       c.norm = model::NormKind::rms, c.biased = {true, true, true, true}, c.windows = {4, 0, 7}, c.attention_softcap = 1.5;
       c.names.query_norm = c.names.key_norm = c.names.attention_post_norm = c.names.feed_post_norm = "n";
       c.activation = model::Activation::gated_gelu, c.logit_softcap = 2, c.embedding_scale = 3, c.rope->partial = 0.5;
     }}};

class BackwardTest : public ::testing::Test {
 protected:
  BackwardTest() = default;
  explicit BackwardTest(const model::Config& config) : base_(testing::tiny_model(11, model::Precision::fp32, config)) {}

  void SetUp() override {
    adapter_.values() = at::randn_like(adapter_.values()) * 0.2;  // B too, so that every gradient is there
    adapter_.write_working(working_, model::Precision::fp32);
    for (const auto& example : examples_) pointers_.push_back(&example);
  }

  at::Tensor gradient(std::int64_t keep_rows_max, double scale = 1) {
    auto out = at::zeros_like(adapter_.values());
    loss_ = add_gradient(*base_, adapter_, working_, pointers_, {scale}, keep_rows_max, out);
    return out;
  }

  void expect_gradient_of_losses();
  void expect_gradient_of_autograd();
  // Three examples begin with the same 11 tokens, the last two with other 9.
  void begin_alike() {
    for (std::size_t i = 0; i < examples_.size(); ++i) {
      auto& example = examples_[i];
      const std::int32_t shared = i < 3 ? 11 : 9;
      for (std::int32_t t = shared; t > 0; --t) example.ids.insert(example.ids.begin(), 50 + t + (i < 3 ? 0 : 20));
      example.answer_start += shared;
    }
  }

  std::unique_ptr<model::CausalModel> base_ = testing::tiny_model(11);
  std::vector<data::Example> examples_ = testing::random_examples(5, 97, 12);
  std::vector<const data::Example*> pointers_;
  model::Adapter adapter_ = model::Adapter::create(base_->config(), {.rank = 4, .alpha = 8, .targets = {}}, 3).value();
  model::LoraWeights working_;
  BatchLoss loss_;
};

class BackwardOption : public BackwardTest, public ::testing::WithParamInterface<Option> {
 protected:
  BackwardOption() : BackwardTest(config()) {}
  static model::Config config() {
    auto config = testing::tiny_config();
    GetParam().set(config);
    return config;
  }
};

TEST_P(BackwardOption, gradients_equal_autograd) { expect_gradient_of_autograd(); }

TEST_P(BackwardOption, gradients_equal_autograd_where_beginnings_are_computed_once) {
  begin_alike();
  ASSERT_LT(evaluate::pack_answers(pointers_, evaluate::Sharing::shared).packed.tokens.size(0),
            evaluate::pack_answers(pointers_, evaluate::Sharing::alone).packed.tokens.size(0) - 25);
  expect_gradient_of_autograd();
}

// The model whose fp32 weights are those that bf16 has.
std::unique_ptr<model::CausalModel> exact_model(const model::Config& config) {
  auto weights = testing::random_weights(config, 11, model::Precision::bf16);
  const auto widen = [](at::Tensor& tensor) {
    if (tensor.defined()) tensor = tensor.to(at::kFloat);
  };
  widen(weights.embedding), widen(weights.positions);
  weights.head = weights.embedding;
  for (auto& layer : weights.layers)
    for (int p = 0; p < model::kProducts; ++p) widen(layer.products[p]), widen(layer.biases[p]);
  return std::make_unique<model::CausalModel>(config, std::move(weights), model::Precision::fp32);
}

INSTANTIATE_TEST_SUITE_P(, BackwardOption, ::testing::ValuesIn(kOptions),
                         [](const auto& option) { return option.param.name; });

void BackwardTest::expect_gradient_of_autograd() {
  model::LoraWeights leaves(working_.size());
  for (std::size_t i = 0; i < working_.size(); ++i)
    for (int p = 0; p < model::kProducts; ++p)
      leaves[i][p] = {working_[i][p].a.clone().set_requires_grad(true), working_[i][p].b.clone().set_requires_grad(true)};
  at::Tensor loss = at::zeros({});
  for (const auto& example : examples_) loss = loss + plain_loss(*base_, leaves, example);
  loss.backward();
  auto expected = at::zeros_like(adapter_.values());
  for (std::size_t i = 0; i < leaves.size(); ++i)
    for (int p = 0; p < model::kProducts; ++p)
      adapter_.add_gradient(static_cast<std::int64_t>(i), static_cast<Product>(p), leaves[i][p].a.grad(),
                            leaves[i][p].b.grad(), expected);

  const auto ours = gradient(1 << 20);
  EXPECT_NEAR(loss_.nats, loss.item<double>(), 1e-3);
  EXPECT_LT((ours - expected).abs().max().item<double>(), 1e-4 * expected.abs().max().item<double>());
}

// A tiny model's rounding is chaotic, so that only the mean over many says which way is the nearer.
TEST_F(BackwardTest, with_weights_laid_out_for_training_bf16_is_as_near_to_fp32) {
  c10::InferenceMode guard;
  begin_alike();
  double sum = 0;
  int count = 0;
  for (const auto& option : kOptions)
    for (const double dropout : {0.0, 0.4}) {
      auto config = testing::tiny_config();
      option.set(config);
      auto adapter = model::Adapter::create(config, {.rank = 4, .alpha = 8, .targets = {}}, 3).value();
      adapter.values() = at::randn_like(adapter.values()) * 0.2;
      model::LoraWeights working, exact;
      adapter.write_working(working, model::Precision::bf16);
      adapter.write_working(exact, model::Precision::fp32);
      for (std::size_t i = 0; i < exact.size(); ++i)
        for (int p = 0; p < model::kProducts; ++p) exact[i][p].a.copy_(working[i][p].a), exact[i][p].b.copy_(working[i][p].b);
      model::set_dropout(working, dropout, 21), model::set_dropout(exact, dropout, 21);
      const auto gradient_of = [&](const model::CausalModel& base, const model::LoraWeights& lora) {
        auto out = at::zeros_like(adapter.values());
        add_gradient(base, adapter, lora, pointers_, {1}, 1 << 20, out);
        return out;
      };
      const auto plain = testing::tiny_model(11, model::Precision::bf16, config), packed = testing::tiny_model(11, model::Precision::bf16, config);
      if (!packed->pack_for_training()) GTEST_SKIP() << "this machine trains with the framework's products";
      const auto expected = gradient_of(*exact_model(config), exact);
      const auto error_of = [&](const model::CausalModel& base) { return (gradient_of(base, working) - expected).norm().item<double>(); };
      const double error = error_of(*packed);
      EXPECT_LT(error, 0.5 * expected.norm().item<double>()) << option.name;
      sum += std::log(error / error_of(*plain)), ++count;
    }
  EXPECT_LT(std::exp(sum / count), 1.1);
}

TEST_F(BackwardTest, gradient_along_a_direction_is_the_difference_of_losses) { expect_gradient_of_losses(); }

TEST_F(BackwardTest, with_dropout_it_is_the_gradient_of_what_was_computed) {
  begin_alike();  // which is then computed for each
  const auto without = gradient(1 << 20);
  model::set_dropout(working_, 0.4, 21);
  EXPECT_FALSE(gradient(1 << 20).equal(without));
  EXPECT_TRUE(gradient(1 << 20).equal(gradient(1)));  // computed a second time, the draw is the same
  expect_gradient_of_losses();
}

void BackwardTest::expect_gradient_of_losses() {
  const auto ours = gradient(1 << 20);
  const auto direction = at::sign(ours);
  const auto start = adapter_.values().clone();
  const double step = 5e-5;  // the loss bends within 1e-3, fp32 sums blur below 1e-6
  double losses[2];
  for (int side = 0; side < 2; ++side) {
    adapter_.values() = start + direction * (side == 0 ? step : -step);
    adapter_.write_working(working_, model::Precision::fp32);
    gradient(1 << 20);
    losses[side] = loss_.nats;
  }
  const double expected = (ours * direction).sum().item<double>();
  EXPECT_NEAR((losses[0] - losses[1]) / (2 * step), expected, 0.01 * std::abs(expected));
}

TEST_F(BackwardTest, computing_layers_a_second_time_changes_no_bit) { EXPECT_TRUE(gradient(1 << 20).equal(gradient(1))); }

TEST_F(BackwardTest, the_sum_of_examples_taken_one_by_one_is_the_packed_batch) {
  const auto together = gradient(1 << 20, 0.5);
  const double nats = loss_.nats;
  auto alone = at::zeros_like(together);
  double sum = 0;
  for (const auto* example : pointers_)
    sum += add_gradient(*base_, adapter_, working_, {&example, 1}, {0.5}, 1 << 20, alone).nats;
  EXPECT_NEAR(sum, nats, 1e-3);
  EXPECT_LT((together - alone).abs().max().item<double>(), 1e-4 * together.abs().max().item<double>());
}

}  // namespace
}  // namespace redoubt::engine::train
