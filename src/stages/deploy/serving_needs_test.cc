// SPDX-License-Identifier: Apache-2.0
#include "stages/deploy/serving_needs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "governance/testing_release.h"

namespace redoubt::stages::deploy {
namespace {

using ::testing::HasSubstr;

class ServingNeedsTest : public ::testing::Test {
 protected:
  Digest model(std::string_view config, std::size_t weight_bytes = 100) {
    const auto folder = *TemporaryFolder::create();
    EXPECT_TRUE(make_folder(folder.path() / "base"));
    EXPECT_TRUE(write_file(folder.path() / "base/config.json", config));
    EXPECT_TRUE(write_file(folder.path() / "base/model.safetensors", std::string(weight_bytes, 'w')));
    return *fixture_.store.import_folder(folder.path(), "release");
  }
  governance::ReleaseFixture fixture_;
};

// Llama 3 8B's shape: 2 x 32 layers x 8 x 128 values of 2 bytes are 131,072 bytes a token.
constexpr std::string_view kLlama = R"({"num_hidden_layers":32,"num_attention_heads":32,"num_key_value_heads":8,"hidden_size":4096,"max_position_embeddings":8192})";

TEST_F(ServingNeedsTest, a_context_beyond_the_models_own_is_refused) {
  const auto llama = model(kLlama), gpt2 = model(R"({"n_layer":12,"n_head":12,"n_embd":768,"n_positions":1024})");
  EXPECT_TRUE(check_serving(fixture_.store, llama, "base/", {.context = 8192}));
  const auto refused = check_serving(fixture_.store, llama, "base/", {.context = 8193});
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(refused.error().where, "deploy.context");
  EXPECT_THAT(refused.error().message, HasSubstr("8193 tokens, the model's own is 8192"));
  EXPECT_EQ(check_serving(fixture_.store, gpt2, "base/", {.context = 1025}).error().code, ErrorCode::invalid_argument);
}

TEST_F(ServingNeedsTest, what_cannot_fit_is_told_with_its_bytes) {
  const auto llama = model(kLlama, 3 << 20);
  // 8 slots of 8,192 tokens and a text of as many: 9 GiB, beside 3 MiB of weights.
  const std::uint64_t needed = (9ull << 30) + (3 << 20);
  EXPECT_TRUE(check_serving(fixture_.store, llama, "base/", {.memory_bytes_max = needed}));
  const auto refused = check_serving(fixture_.store, llama, "base/", {.memory_bytes_max = needed - 1});
  EXPECT_EQ(refused.error().code, ErrorCode::limit_exceeded);
  EXPECT_THAT(refused.error().message, HasSubstr("3 MiB for the weights and 9216 MiB for 8 slots of 8192 tokens and a text as long"));
  EXPECT_TRUE(check_serving(fixture_.store, llama, "base/", {.slots = 4, .memory_bytes_max = needed - 1}));
  EXPECT_TRUE(check_serving(fixture_.store, llama, "base/", {.context = 4096, .memory_bytes_max = needed - 1}));
  EXPECT_TRUE(check_serving(fixture_.store, llama, "base/", {.slots = 256}));  // where the memory is not known here
}

TEST_F(ServingNeedsTest, weights_in_fp32_are_halved_when_they_are_loaded) {
  const auto fp32 = model(R"({"num_hidden_layers":1,"num_attention_heads":1,"hidden_size":1,"max_position_embeddings":1,"dtype":"float32"})", 2 << 20);
  EXPECT_TRUE(check_serving(fixture_.store, fp32, "base/", {.slots = 1, .memory_bytes_max = (1 << 20) + 8}));
  EXPECT_FALSE(check_serving(fixture_.store, fp32, "base/", {.slots = 1, .memory_bytes_max = (1 << 20) + 7}));
}

}  // namespace
}  // namespace redoubt::stages::deploy
