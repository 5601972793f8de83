// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "engine/model/llama.h"

namespace redoubt::engine::model {
namespace {

Json llama_config() {
  return {{"architectures", {"LlamaForCausalLM"}},
          {"model_type", "llama"},
          {"vocab_size", 97},
          {"hidden_size", 32},
          {"num_hidden_layers", 3},
          {"num_attention_heads", 4},
          {"num_key_value_heads", 2},
          {"intermediate_size", 48},
          {"max_position_embeddings", 128},
          {"rms_norm_eps", 1e-5},
          {"rope_theta", 10000.0},
          {"tie_word_embeddings", true}};
}

TEST(Config, options_that_change_the_computation_are_refused_by_name) {
  ASSERT_TRUE(parse_config(llama_config(), "config.json"));
  const std::pair<const char*, Json> changes[] = {{"architectures", Json::array({"Qwen2ForCausalLM"})},
                                                  {"attention_bias", true},
                                                  {"mlp_bias", true},
                                                  {"hidden_act", "gelu"},
                                                  {"rope_scaling", {{"rope_type", "yarn"}, {"factor", 2}}},
                                                  {"quantization_config", {{"bits", 4}}},
                                                  {"sliding_window", 4096}};
  for (const auto& [key, value] : changes) {
    auto config = llama_config();
    config[key] = value;
    auto parsed = parse_config(config, "config.json");
    ASSERT_FALSE(parsed) << key;
    EXPECT_EQ(parsed.error().code, ErrorCode::unsupported) << key;
  }
}

TEST(Segments, examples_of_like_length_share_a_group) {
  const Segment segments[] = {{0, 10}, {10, 100}, {110, 9}, {119, 90}};
  auto groups = group_segments(segments);
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_EQ(groups[0].longest, 100);
  EXPECT_EQ(groups[1].segments.size(), 2u);
}

}  // namespace
}  // namespace redoubt::engine::model
