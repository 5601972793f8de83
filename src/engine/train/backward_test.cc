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

at::Tensor norm(const at::Tensor& x, const at::Tensor& weight, double epsilon) {
  return x * at::rsqrt(x.pow(2).mean(-1, true) + epsilon) * weight;
}

// Transformers' rotate_half on [tokens, heads, d].
at::Tensor turn(const at::Tensor& x, double theta) {
  const auto d = x.size(2);
  auto frequency = at::pow(theta, -at::arange(0, d, 2, at::kFloat) / d);
  auto angle = at::outer(at::arange(x.size(0), at::kFloat), frequency);
  angle = at::cat({angle, angle}, -1).unsqueeze(1);
  auto halves = x.chunk(2, -1);
  return x * angle.cos() + at::cat({-halves[1], halves[0]}, -1) * angle.sin();
}

// Summed nats of one example's answer.
at::Tensor plain_loss(const model::CausalModel& base, const model::LoraWeights& lora, const data::Example& example) {
  const auto& c = base.config();
  const std::int64_t n = std::ssize(example.ids);
  const auto ids = at::tensor(at::ArrayRef<std::int32_t>(example.ids)).to(at::kLong);
  auto x = base.weights().embedding.clone().index_select(0, ids);
  const auto mask = at::full({n, n}, -INFINITY).triu(1);
  for (std::int64_t i = 0; i < c.layers; ++i) {
    const auto& w = base.weights().layers[static_cast<std::size_t>(i)];
    const auto linear = [&](const at::Tensor& in, Product p) {
      const auto& pair = lora[static_cast<std::size_t>(i)][p];
      return at::linear(in, w.products[p].clone()) +
             (pair.a.defined() ? at::linear(at::linear(in, pair.a), pair.b) : at::zeros({1}));
    };
    auto qkv = linear(norm(x, w.attention_norm.clone(), c.rms_epsilon), model::kAttentionIn).view({n, -1, c.head_size});
    auto q = turn(qkv.narrow(1, 0, c.heads), c.rope_theta).transpose(0, 1);
    auto k = turn(qkv.narrow(1, c.heads, c.key_heads), c.rope_theta).repeat_interleave(c.query_group(), 1).transpose(0, 1);
    auto v = qkv.narrow(1, c.heads + c.key_heads, c.key_heads).repeat_interleave(c.query_group(), 1).transpose(0, 1);
    auto p = (at::matmul(q, k.transpose(1, 2)) / std::sqrt(static_cast<double>(c.head_size)) + mask).softmax(-1);
    x = x + linear(at::matmul(p, v).transpose(0, 1).reshape({n, c.query_width()}), model::kAttentionOut);
    auto gate_up = linear(norm(x, w.feed_norm.clone(), c.rms_epsilon), model::kFeedIn).chunk(2, -1);
    x = x + linear(at::silu(gate_up[0]) * gate_up[1], model::kFeedOut);
  }
  auto logits = at::linear(norm(x, base.weights().final_norm.clone(), c.rms_epsilon), base.weights().head.clone());
  auto chosen = at::log_softmax(logits, -1).narrow(0, 0, n - 1).gather(1, ids.narrow(0, 1, n - 1).unsqueeze(1)).squeeze(1);
  return -chosen.narrow(0, example.answer_start - 1, n - example.answer_start).sum();
}

class BackwardTest : public ::testing::Test {
 protected:
  void SetUp() override {
    adapter_.values() = at::randn_like(adapter_.values()) * 0.2;  // B too, so that every gradient is there
    adapter_.write_working(working_, model::Precision::fp32);
    for (const auto& example : examples_) pointers_.push_back(&example);
  }

  at::Tensor gradient(std::int64_t keep_rows_max, double scale = 1) {
    auto out = at::zeros_like(adapter_.values());
    loss_ = add_gradient(*base_, adapter_, working_, pointers_, scale, keep_rows_max, out);
    return out;
  }

  void expect_gradient_of_losses();

  std::unique_ptr<model::CausalModel> base_ = testing::tiny_model(11);
  std::vector<data::Example> examples_ = testing::random_examples(5, 97, 12);
  std::vector<const data::Example*> pointers_;
  model::Adapter adapter_ = model::Adapter::create(base_->config(), {.rank = 4, .alpha = 8, .targets = {}}, 3).value();
  model::LoraWeights working_;
  BatchLoss loss_;
};

TEST_F(BackwardTest, gradients_equal_autograd) {
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

TEST_F(BackwardTest, gradient_along_a_direction_is_the_difference_of_losses) { expect_gradient_of_losses(); }

TEST_F(BackwardTest, with_dropout_it_is_the_gradient_of_what_was_computed) {
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
    sum += add_gradient(*base_, adapter_, working_, {&example, 1}, 0.5, 1 << 20, alone).nats;
  EXPECT_NEAR(sum, nats, 1e-3);
  EXPECT_LT((together - alone).abs().max().item<double>(), 1e-4 * together.abs().max().item<double>());
}

}  // namespace
}  // namespace redoubt::engine::train
