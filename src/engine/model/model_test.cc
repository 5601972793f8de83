// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "base/file.h"
#include "engine/model/causal_model.h"
#include "engine/model/families.h"
#include "engine/model/layer_math.h"
#include "engine/model/tensor_file.h"

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

// Each of the values, alone in an ordinary configuration, is answered with the code.
void expect_refused(ErrorCode code, std::initializer_list<std::pair<const char*, Json>> changes) {
  for (const auto& [key, value] : changes) {
    auto config = llama_config();
    config[key] = value;
    const auto parsed = parse_config(config, "config.json");
    ASSERT_FALSE(parsed) << key;
    EXPECT_EQ(parsed.error().code, code) << key;
  }
}

TEST(Config, options_that_change_the_computation_are_refused_by_name) {
  ASSERT_TRUE(parse_config(llama_config(), "config.json"));
  expect_refused(ErrorCode::unsupported, {{"architectures", Json::array({"MixtralForCausalLM"})},
                                          {"architectures", Json::array({"Qwen2ForCausalLM"})},  // of another model_type
                                          {"hidden_act", "gelu"},
                                          {"rope_scaling", {{"rope_type", "longrope"}, {"factor", 2}}},
                                          {"num_local_experts", 8},
                                          {"quantization_config", {{"bits", 4}}},
                                          {"sliding_window", 4096}});
}

TEST(Config, impossible_values_are_refused) {
  expect_refused(ErrorCode::invalid_argument, {{"head_dim", 7},
                                               {"num_key_value_heads", 3},
                                               {"hidden_size", 33},
                                               {"num_hidden_layers", 0},
                                               {"vocab_size", "97"},
                                               {"rms_norm_eps", -1},
                                               {"rope_scaling", {{"rope_type", "linear"}, {"factor", 0}}},
                                               {"rope_theta", 0.5}});
}

TEST(Config, whatever_stands_in_a_member_of_any_family_is_read_or_refused) {
  const Json values[] = {nullptr,       true,           -1,       0,         1e300,     1e-300, "x",
                         Json::array(), Json::object(), {1, "a"}, INT64_MAX, UINT64_MAX};
  for (const auto& family : families()) {
    Json whole = llama_config();
    whole.update({{"architectures", {family.architecture}}, {"model_type", family.model_type}, {"head_dim", 8}});
    ASSERT_TRUE(parse_config(whole, "config.json")) << family.architecture;
    auto keys = family.reads;
    for (const auto& [key, value] : whole.items()) keys.push_back(key);
    for (const auto& [key, value] : family.defaults.items()) keys.push_back(key);
    for (const char* key : {"rope_scaling", "rope_parameters", "original_max_position_embeddings", "eos_token_id"})
      keys.emplace_back(key);
    for (const auto& key : keys)
      for (const auto& value : values) {
        auto config = whole;
        config[key] = value;
        const auto parsed = parse_config(config, "config.json");
        EXPECT_TRUE(parsed || !parsed.error().message.empty()) << family.architecture << " " << key << " " << value;
      }
  }
}

TEST(Config, whatever_stands_in_the_rotary_parameters_is_read_or_refused) {
  const Json values[] = {nullptr, -1, 0, 1e300, 1e-300, "x", Json::array(), Json::object(), {1, "a"}};
  for (const char* kind : {"default", "linear", "dynamic", "yarn", "longrope", "llama3"})
    for (const char* key :
         {"factor", "rope_theta", "original_max_position_embeddings", "attention_factor", "mscale", "beta_fast", "beta_slow",
          "low_freq_factor", "high_freq_factor", "short_factor", "long_factor", "rope_type"})
      for (const auto& value : values) {
        Json rope = {{"rope_type", kind},   {"factor", 4},         {"low_freq_factor", 1},        {"high_freq_factor", 4},
                     {"mscale_all_dim", 1}, {"short_factor", {1}}, {"long_factor", {1, 1, 1, 1}}, {key, value}};
        auto config = llama_config();
        config["rope_scaling"] = rope;
        if (rope["rope_type"] == "longrope") config.update({{"architectures", {"Phi3ForCausalLM"}}, {"model_type", "phi3"}});
        const auto parsed = parse_config(config, "config.json");
        if (!parsed) continue;
        const RotaryTable table(*parsed->rope, parsed->head_size, parsed->context_length);
        for (const std::int64_t length : {std::int64_t{1}, parsed->context_length})
          EXPECT_TRUE(std::isfinite(*table.angles(length, length - 1).cosine(length - 1)))
              << kind << " " << key << " " << value;
      }
}

TEST(Config, dropout_of_the_base_is_refused_in_training_alone) {
  auto config = llama_config();
  EXPECT_TRUE(check_trainable(*parse_config(config, "config.json")));
  config["attention_dropout"] = 0.1;
  const auto parsed = parse_config(config, "config.json");
  ASSERT_TRUE(parsed);
  const auto refused = check_trainable(*parsed);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::unsupported);
  EXPECT_NE(refused.error().message.find("attention_dropout"), std::string::npos);
}

TEST(Drop, the_share_of_zeros_is_the_rate_and_the_mean_stays) {
  c10::InferenceMode guard;
  const auto x = at::ones({400, 576});
  const double n = 400 * 576;
  for (double rate : {0.05, 0.3, 0.5}) {
    const auto dropped = drop(x, rate, 9);
    const double zeros = n - static_cast<double>(dropped.count_nonzero().item<std::int64_t>());
    EXPECT_NEAR(zeros / n, rate, 4 * std::sqrt(rate * (1 - rate) / n));
    EXPECT_NEAR(dropped.mean().item<double>(), 1, 4 * std::sqrt(rate / (1 - rate) / n));
    EXPECT_FLOAT_EQ(dropped.max().item<float>(), static_cast<float>(1 / (1 - rate)));
    // No row and no column is favoured: five deviations for the worst of some hundred.
    const auto zero = dropped.eq(0).to(at::kDouble);
    EXPECT_LT((zero.mean(0) - rate).abs().max().item<double>(), 5 * std::sqrt(rate * (1 - rate) / 400));
    EXPECT_LT((zero.mean(1) - rate).abs().max().item<double>(), 5 * std::sqrt(rate * (1 - rate) / 576));
    EXPECT_TRUE(dropped.equal(drop(x, rate, 9)));
    // Another key's draw is independent.
    const double both = dropped.eq(0).logical_and(drop(x, rate, 10).eq(0)).to(at::kDouble).mean().item<double>();
    EXPECT_NEAR(both, rate * rate, 5 * rate / std::sqrt(n));
  }
}

TEST(TensorFile, what_is_written_reads_back) {
  const auto folder = TemporaryFolder::create().value();
  const std::map<std::string, at::Tensor> tensors = {{"large", at::arange(12, at::kFloat).view({3, 4})}, {"none", at::zeros({0, 3})}, {"small", at::arange(6, at::kLong)}};
  ASSERT_TRUE(write_tensors(folder.path() / "model.safetensors", tensors, {}));
  const auto file = weights::SafetensorsFile::open(FileReader::open(folder.path() / "model.safetensors").value(), "model.safetensors").value();
  for (const auto& [name, tensor] : tensors) EXPECT_TRUE(read_tensor(file, **file.find(name)).value().equal(tensor)) << name;
}

}  // namespace
}  // namespace redoubt::engine::model
