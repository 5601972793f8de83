// SPDX-License-Identifier: Apache-2.0
#include "engine/model/families.h"

namespace redoubt::engine::model {
namespace {

constexpr auto kPlain = RopeKind::plain;

Names query_key_norms() {
  Names names;
  names.query_norm = "q_norm", names.key_norm = "k_norm";
  return names;
}

Names gemma_names(Names names) {
  names.attention_post_norm = "post_attention_layernorm";
  names.feed_norm = "pre_feedforward_layernorm";
  names.feed_post_norm = "post_feedforward_layernorm";
  return names;
}

Names phi_names() {
  Names names;
  names.modules = {{{"qkv_proj"}, {"o_proj"}, {"gate_up_proj"}, {"down_proj"}}};
  return names;
}

Names gpt2_names() {
  Names names;
  names.prefix = "transformer.";
  names.embedding = "wte", names.positions = "wpe", names.layers = "h", names.final_norm = "ln_f";
  names.attention_norm = "ln_1", names.feed_norm = "ln_2", names.attention = "attn";
  names.modules = {{{"c_attn"}, {"c_proj"}, {"c_fc"}, {"c_proj"}}};
  names.transposed = true;
  return names;
}

Family llama() {
  return {.architecture = "LlamaForCausalLM",
          .model_type = "llama",
          .defaults = {{"max_position_embeddings", 2048}},
          .reads = {"attention_bias", "mlp_bias"},
          .biases = Biases::by_key};
}

Family mistral() {
  return {.architecture = "MistralForCausalLM",
          .model_type = "mistral",
          .defaults = {{"max_position_embeddings", 131072}, {"num_key_value_heads", 8}, {"sliding_window", 4096}},
          .reads = {"sliding_window"},
          .windows = Windows::all};
}

Json qwen_defaults() {
  return {{"max_position_embeddings", 32768},
          {"num_key_value_heads", 32},
          {"use_sliding_window", false},
          {"sliding_window", 4096},
          {"max_window_layers", 28}};
}

Family qwen2() {
  return {.architecture = "Qwen2ForCausalLM",
          .model_type = "qwen2",
          .defaults = qwen_defaults(),
          .reads = {"sliding_window", "layer_types"},
          .biases = Biases::query_key_value,
          .windows = Windows::from_layer};
}

Family qwen3() {
  Json defaults = qwen_defaults();
  defaults["head_dim"] = 128;
  return {.architecture = "Qwen3ForCausalLM",
          .model_type = "qwen3",
          .defaults = defaults,
          .reads = {"sliding_window", "layer_types", "attention_bias"},
          .biases = Biases::by_key,
          .windows = Windows::from_layer,
          .names = query_key_norms()};
}

// What Gemma 2 and 3 have in common; `more` beyond the defaults, `reads` beyond the keys.
Family gemma(const Json& more, std::vector<std::string> reads) {
  Json defaults = {{"num_key_value_heads", 4},    {"head_dim", 256},        {"hidden_activation", "gelu_pytorch_tanh"},
                   {"tie_word_embeddings", true}, {"sliding_window", 4096}, {"query_pre_attn_scalar", 256},
                   {"pad_token_id", 0}};
  defaults.update(more);
  for (const char* key :
       {"sliding_window", "layer_types", "attention_bias", "query_pre_attn_scalar", "final_logit_softcapping"})
    reads.emplace_back(key);
  return {.architecture = "",
          .model_type = "",
          .defaults = defaults,
          .reads = std::move(reads),
          .norm_from_one = true,
          .scaled_embedding = true,
          .activation_key = "hidden_activation",
          .activations = {{"gelu_pytorch_tanh", Activation::gated_gelu}},
          .biases = Biases::by_key,
          .windows = Windows::pattern,
          .names = gemma_names({})};
}

Family gemma2() {
  Family family =
      gemma({{"max_position_embeddings", 8192}, {"attn_logit_softcapping", 50.0}, {"final_logit_softcapping", 30.0}},
            {"attn_logit_softcapping"});
  family.architecture = "Gemma2ForCausalLM", family.model_type = "gemma2";
  return family;
}

Family gemma3() {
  Family family = gemma({{"max_position_embeddings", 131072}, {"sliding_window_pattern", 6}},
                        {"rope_local_base_freq", "sliding_window_pattern"});
  family.architecture = "Gemma3ForCausalLM", family.model_type = "gemma3_text";
  family.ropes = {kPlain, RopeKind::linear, RopeKind::llama3};
  family.names = gemma_names(query_key_norms());
  return family;
}

Family phi3() {
  return {.architecture = "Phi3ForCausalLM",
          .model_type = "phi3",
          .defaults = {{"max_position_embeddings", 4096},
                       {"original_max_position_embeddings", 4096},
                       {"rms_norm_eps", 1e-5},
                       {"sliding_window", nullptr},
                       {"pad_token_id", 32000}},
          .reads = {"sliding_window", "partial_rotary_factor"},
          .windows = Windows::all,
          .ropes = {kPlain, RopeKind::longrope},
          .names = phi_names()};
}

Family gpt2() {
  return {.architecture = "GPT2LMHeadModel",
          .model_type = "gpt2",
          .defaults = {{"max_position_embeddings", 1024},
                       {"rms_norm_eps", 1e-5},
                       {"tie_word_embeddings", true},
                       {"activation_function", "gelu_new"},
                       {"resid_pdrop", 0.1},
                       {"embd_pdrop", 0.1},
                       {"attn_pdrop", 0.1}},
          .reads = {"scale_attn_weights", "scale_attn_by_inverse_layer_idx"},
          .renamed = {{"n_embd", "hidden_size"},
                      {"n_layer", "num_hidden_layers"},
                      {"n_head", "num_attention_heads"},
                      {"n_positions", "max_position_embeddings"},
                      {"n_inner", "intermediate_size"},
                      {"layer_norm_epsilon", "rms_norm_eps"}},
          .norm = NormKind::layer,
          .turned = false,
          .activation_key = "activation_function",
          .activations = {{"gelu_new", Activation::gelu}, {"gelu_pytorch_tanh", Activation::gelu}},
          .biases = Biases::all,
          .ropes = {},
          .names = gpt2_names()};
}

}  // namespace

std::span<const Family> families() {
  static const Family table[] = {llama(), mistral(), qwen2(), qwen3(), gemma2(), gemma3(), phi3(), gpt2()};
  return table;
}

}  // namespace redoubt::engine::model
