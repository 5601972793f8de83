// SPDX-License-Identifier: Apache-2.0
#include "stages/acquire/gguf_config.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <numbers>
#include <set>

#include "weights/dequantize.h"

namespace redoubt::stages::acquire {
namespace {

using weights::GgufHeader;

tl::unexpected<Error> unsupported(std::string what, const GgufHeader& header) {
  return fail(ErrorCode::unsupported, std::move(what), header.where(),
              "models of the architecture llama (Llama 1 to 3) are imported");
}

Status refuse_unknown_keys(const GgufHeader& header) {
  static const std::set<std::string, std::less<>> known = {"llama.context_length",
                                                           "llama.block_count",
                                                           "llama.embedding_length",
                                                           "llama.feed_forward_length",
                                                           "llama.vocab_size",
                                                           "llama.attention.head_count",
                                                           "llama.attention.head_count_kv",
                                                           "llama.attention.layer_norm_rms_epsilon",
                                                           "llama.attention.key_length",
                                                           "llama.attention.value_length",
                                                           "llama.rope.freq_base",
                                                           "llama.rope.dimension_count",
                                                           "llama.rope.scaling.type",
                                                           "llama.rope.scaling.factor",
                                                           "llama.rope.scaling.original_context_length",
                                                           "llama.rope.scaling.finetuned",
                                                           "llama.expert_count",
                                                           "llama.expert_used_count"};
  for (const auto& key : header.keys())
    if (key.starts_with("llama.") && !known.contains(key))
      return unsupported("the model's option '" + key + "' is not known", header);
  for (const auto* key : {"llama.expert_count", "llama.expert_used_count"})
    if (header.has(key) && TRY(header.unsigned_number(key)) != 0)
      return unsupported("the model is a mixture of experts", header);
  return {};
}

Result<std::uint64_t> size_of(const GgufHeader& header, const std::string& key) {
  const auto value = TRY(header.unsigned_number(key));
  if (value < 1 || value > 1 << 24)
    return fail(ErrorCode::invalid_argument, "the value is out of range", header.where() + ": '" + key + "'");
  return value;
}

Result<std::uint64_t> size_or(const GgufHeader& header, const std::string& key, std::uint64_t fallback) {
  return header.has(key) ? size_of(header, key) : Result<std::uint64_t>(fallback);
}

// A single-precision number as a person wrote it: 1e-05, not 9.99999974e-06.
double shortest(double value) {
  std::array<char, 64> text{};
  std::to_chars(text.data(), text.data() + text.size() - 1, static_cast<float>(value));
  return std::strtod(text.data(), nullptr);
}

// Llama 3.1 stretches slow rotary frequencies; GGUF keeps only the resulting factor of each frequency. The last is the whole
// factor; the rest follow from Meta's constants, and what does not follow is refused.
Result<Json> llama3_scaling(const GgufHeader& header, const GgufShape& shape, const RandomAccess& file, double theta) {
  const auto& tensor = header.tensors().find(kRopeFactors)->second;
  const std::size_t count = shape.head_size / 2;
  if (tensor.shape != std::vector<std::uint64_t>{count})
    return unsupported("the rotary factors have an unknown shape", header);
  Bytes bytes(tensor.bytes);
  TRY(file.read_at(tensor.offset, bytes));
  std::vector<float> factors(count);
  weights::dequantize(tensor.type, bytes, factors);

  const double low = 1, high = 4, original = 8192, whole = factors.back();
  for (std::size_t i = 0; i < count; ++i) {
    const double length =
        2 * std::numbers::pi * std::pow(theta, 2.0 * static_cast<double>(i) / static_cast<double>(shape.head_size));
    const double smooth = (original / length - low) / (high - low);
    const double expected = length < original / high  ? 1
                            : length > original / low ? whole
                                                      : 1 / ((1 - smooth) / whole + smooth);
    if (!(std::abs(factors[i] - expected) <= 1e-3 * expected))
      return unsupported("the rotary factors are not those of Llama 3.1", header);
  }
  return Json{{"rope_type", "llama3"},
              {"factor", shortest(whole)},
              {"low_freq_factor", low},
              {"high_freq_factor", high},
              {"original_max_position_embeddings", 8192}};
}

Result<Json> rope_scaling(const GgufHeader& header, const GgufShape& shape, const RandomAccess& file, double theta) {
  const std::string type = header.has("llama.rope.scaling.type") ? TRY(header.text("llama.rope.scaling.type")) : "none";
  const bool has_factors = header.tensors().contains(kRopeFactors);
  if (type == "linear" && !has_factors) {
    const auto factor = TRY(header.number("llama.rope.scaling.factor"));
    return Json{{"rope_type", "linear"}, {"factor", shortest(factor)}};
  }
  if (type != "none") return unsupported("rotary scaling '" + type + "' is not known", header);
  return has_factors ? llama3_scaling(header, shape, file, theta) : Result<Json>(Json());
}

// One id, or a list where the end of a turn and of a text differ (Llama 3).
Status put_token_ids(const GgufHeader& header, Json& into) {
  constexpr std::pair<const char*, const char*> ids[] = {{"bos_token_id", "tokenizer.ggml.bos_token_id"},
                                                         {"eos_token_id", "tokenizer.ggml.eos_token_id"},
                                                         {"pad_token_id", "tokenizer.ggml.padding_token_id"}};
  for (const auto& [name, key] : ids)
    if (header.has(key)) into[name] = TRY(header.unsigned_number(key));
  if (header.has("tokenizer.ggml.eot_token_id") && into.contains("eos_token_id")) {
    const auto turn = TRY(header.unsigned_number("tokenizer.ggml.eot_token_id"));
    if (into["eos_token_id"] != turn) into["eos_token_id"] = Json::array({into["eos_token_id"], turn});
  }
  return {};
}

}  // namespace

Result<GgufShape> read_gguf_shape(const GgufHeader& header) {
  const auto architecture = TRY(header.text("general.architecture"));
  if (architecture != "llama") return unsupported("the architecture '" + architecture + "' is not imported", header);
  TRY(refuse_unknown_keys(header));
  GgufShape shape;
  shape.layers = TRY(size_of(header, "llama.block_count"));
  shape.hidden = TRY(size_of(header, "llama.embedding_length"));
  shape.intermediate = TRY(size_of(header, "llama.feed_forward_length"));
  shape.heads = TRY(size_of(header, "llama.attention.head_count"));
  shape.key_heads = TRY(size_or(header, "llama.attention.head_count_kv", shape.heads));
  shape.head_size = TRY(size_or(header, "llama.attention.key_length", shape.hidden / shape.heads));
  shape.vocabulary = TRY(header.texts("tokenizer.ggml.tokens"))->size();
  shape.tied_embeddings = !header.tensors().contains("output.weight");
  if (shape.heads % shape.key_heads != 0 || shape.head_size == 0 || shape.head_size % 2 != 0)
    return fail(ErrorCode::invalid_argument, "the numbers of heads and their size do not fit together", header.where());
  if (TRY(size_or(header, "llama.attention.value_length", shape.head_size)) != shape.head_size ||
      TRY(size_or(header, "llama.rope.dimension_count", shape.head_size)) != shape.head_size)
    return unsupported("keys, values and rotary embedding differ in size", header);
  return shape;
}

Result<Json> make_config(const GgufHeader& header, const GgufShape& shape, const RandomAccess& file) {
  const double theta = header.has("llama.rope.freq_base") ? shortest(TRY(header.number("llama.rope.freq_base"))) : 10000.0;
  // Before the list: g++ 12 leaks the members of a braced list that an early return leaves.
  const auto context_length = TRY(size_of(header, "llama.context_length"));
  const double epsilon = shortest(TRY(header.number("llama.attention.layer_norm_rms_epsilon")));
  const Json scaling = TRY(rope_scaling(header, shape, file, theta));
  Json config{{"architectures", {"LlamaForCausalLM"}},
              {"model_type", "llama"},
              {"attention_bias", false},
              {"attention_dropout", 0.0},
              {"mlp_bias", false},
              {"hidden_act", "silu"},
              {"initializer_range", 0.02},
              {"hidden_size", shape.hidden},
              {"intermediate_size", shape.intermediate},
              {"num_hidden_layers", shape.layers},
              {"num_attention_heads", shape.heads},
              {"num_key_value_heads", shape.key_heads},
              {"head_dim", shape.head_size},
              {"vocab_size", shape.vocabulary},
              {"max_position_embeddings", context_length},
              {"rms_norm_eps", epsilon},
              {"rope_theta", theta},
              {"rope_scaling", scaling},
              {"tie_word_embeddings", shape.tied_embeddings},
              {"torch_dtype", "bfloat16"},
              {"use_cache", true}};
  TRY(put_token_ids(header, config));
  return config;
}

Result<Json> make_generation_config(const GgufHeader& header) {
  Json config = Json::object();
  TRY(put_token_ids(header, config));
  return config;
}

}  // namespace redoubt::stages::acquire
