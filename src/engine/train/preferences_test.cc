// SPDX-License-Identifier: Apache-2.0
#include "engine/train/preferences.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/file.h"
#include "engine/train/memory.h"
#include "engine/train/testing.h"

namespace redoubt::engine::train {
namespace {

TEST(PreferenceLoss, without_a_change_it_is_the_logarithm_of_two_for_each_pair) {
  const std::vector<double> nats = {3, 5, 7, 2};
  const auto loss = preference_loss(nats, nats, 0.1);
  EXPECT_DOUBLE_EQ(loss.loss, 2 * std::log(2.0));
  EXPECT_EQ(loss.preferred, 0);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_DOUBLE_EQ(loss.slopes[i], i % 2 == 0 ? 0.05 : -0.05);
}

TEST(PreferenceLoss, slopes_are_the_differences_of_losses) {
  const std::vector<double> nats = {3, 5, 7, 2}, reference = {4, 4, 6.5, 3};
  const auto loss = preference_loss(nats, reference, 0.7);
  for (std::size_t i = 0; i < 4; ++i) {
    auto up = nats, down = nats;
    up[i] += 1e-5, down[i] -= 1e-5;
    const double slope = (preference_loss(up, reference, 0.7).loss - preference_loss(down, reference, 0.7).loss) / 2e-5;
    EXPECT_NEAR(loss.slopes[i], slope, 1e-8);
  }
  EXPECT_EQ(loss.preferred, 1);
}

TEST(PreferenceLoss, far_from_the_reference_nothing_overflows) {
  const std::vector<double> nats = {1e5, 0, 0, 1e5}, reference = {0, 0, 0, 0};
  const auto loss = preference_loss(nats, reference, 1);
  EXPECT_DOUBLE_EQ(loss.loss, 1e5);
  EXPECT_DOUBLE_EQ(loss.slopes[0], 1);
  EXPECT_DOUBLE_EQ(loss.slopes[2], 0);
}

TEST(CheckMemory, says_the_parts_and_the_cure_where_the_plan_does_not_fit) {
  TrainOptions options;
  const auto config = testing::tiny_config();
  const auto plan = plan_memory(config, options, 1000, {2048, 64, 5000});
  EXPECT_TRUE(check_memory(plan, 1, MemoryLimit{plan.total(), "the limit"}));
  EXPECT_TRUE(check_memory(plan, 1, std::nullopt));
  const auto refused = check_memory(plan, 2, MemoryLimit{2 * plan.total() - 1, "the limit"});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::limit_exceeded);
  EXPECT_NE(refused.error().where.find("each of 2 processes"), std::string::npos);
  options.gradient_checkpointing = true;
  EXPECT_LT(plan_memory(config, options, 1000, {2048, 64, 5000}).activations, plan.activations);
}

TEST(PlanMemory, knows_what_a_base_takes_in_each_format) {
  auto config = testing::tiny_config();
  config.hidden = 128, config.head_size = 32, config.intermediate = 256;
  for (const bool tied : {true, false})
    for (const auto format : {model::WeightFormat::as_loaded, model::WeightFormat::int8, model::WeightFormat::int4}) {
      config.tied_embeddings = tied;
      auto weights = testing::random_weights(config, 1, model::Precision::bf16);
      if (!tied) weights.head = weights.embedding.clone();
      model::CausalModel base(config, weights, model::Precision::bf16);
      ASSERT_TRUE(base.quantise(format));
      std::uint64_t bytes = 0;
      const auto& held = base.weights();
      for (const auto& tensor : held.tensors()) bytes += tensor.nbytes();
      if (tied) bytes -= held.head.nbytes();  // the embedding once more
      // Laid out for training a matrix lies there twice, and no longer as it was.
      std::uint64_t more = 0;
      for (const auto& layer : held.layers)
        for (const auto& dense : layer.products)
          if (dense.defined()) more += model::PackedMatrix::bytes(dense) + model::PackedMatrix::bytes(dense.t()) - dense.nbytes();
      if (base.pack_for_training()) bytes += more;
      TrainOptions options;
      options.weights = format;
      const auto plan = plan_memory(config, options, 1000, {512, 64, 5000});
      // And the buffer in which the largest matrix is made whole.
      const auto computed = model::product_type(at::kBFloat16);
      if (format != model::WeightFormat::as_loaded || computed != at::kBFloat16) bytes += at::elementSize(computed) * 512 * 128;
      EXPECT_NEAR(static_cast<double>(plan.weights), static_cast<double>(bytes), 0.02 * static_cast<double>(bytes)) << model::to_string(format) << tied;
    }
}

}  // namespace
}  // namespace redoubt::engine::train
