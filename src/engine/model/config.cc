// SPDX-License-Identifier: Apache-2.0
#include "engine/model/config.h"

#include "base/file.h"

namespace redoubt::engine::model {
namespace {

tl::unexpected<Error> unsupported(std::string what, std::string_view where) {
  return fail(ErrorCode::unsupported, std::move(what), std::string(where),
              "Llama-family models with the options of Llama 1 to 3 are supported");
}

// Members that change the computation must be absent or say what the engine computes.
Status refuse_other_options(const Json& config, std::string_view where) {
  const std::pair<const char*, Json> computed[] = {
      {"attention_bias", false}, {"mlp_bias", false},         {"hidden_act", "silu"},      {"attention_dropout", 0},
      {"model_type", "llama"},   {"sliding_window", nullptr}, {"partial_rotary_factor", 1}};
  for (const auto& [key, value] : computed) {
    auto found = config.find(key);
    if (found != config.end() && !found->is_null() && *found != value)
      return unsupported(std::string(key) + " is " + found->dump() + ", computed is " + value.dump(), where);
  }
  if (config.contains("quantization_config") && !config["quantization_config"].is_null())
    return unsupported("quantization_config: quantised weights", where);
  auto architectures = config.find("architectures");
  if (architectures == config.end() || *architectures != Json::array({"LlamaForCausalLM"}))
    return unsupported("architectures is " + (architectures == config.end() ? "missing" : architectures->dump()) +
                           ", computed is [\"LlamaForCausalLM\"]",
                       where);
  return {};
}

Result<std::int64_t> size_of(const Json& config, const char* key, std::string_view where,
                             std::optional<std::int64_t> fallback = {}) {
  auto found = config.find(key);
  if (fallback && (found == config.end() || found->is_null())) return *fallback;
  auto value = TRY(json_integer(config, key, where));
  if (value < 1 || value > (1 << 24))
    return fail(ErrorCode::invalid_argument, std::string(key) + " is out of range", std::string(where));
  return value;
}

double number_or(const Json& object, const char* key, double fallback) {
  auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : fallback;
}

// Transformers 5 writes rope_parameters; older ones rope_theta and rope_scaling.
Status parse_rope(const Json& config, Config& into, std::string_view where) {
  into.rope_theta = number_or(config, "rope_theta", 10000);
  Json rope = config.value("rope_parameters", Json());
  if (!rope.is_object()) rope = config.value("rope_scaling", Json());
  if (rope.is_object()) {
    into.rope_theta = number_or(rope, "rope_theta", into.rope_theta);
    const Json type = rope.contains("rope_type") ? rope["rope_type"] : rope.value("type", Json("default"));
    if (type == "linear") {
      into.rope_linear_factor = TRY(json_number(rope, "factor", where));
    } else if (type == "llama3") {
      into.llama3_scaling =
          Llama3Scaling{TRY(json_number(rope, "factor", where)), TRY(json_number(rope, "low_freq_factor", where)),
                        TRY(json_number(rope, "high_freq_factor", where)),
                        TRY(json_number(rope, "original_max_position_embeddings", where))};
    } else if (type != "default") {
      return unsupported("rope_type " + type.dump(), where);
    }
  }
  if (!(into.rope_theta > 1) || !(into.rope_linear_factor > 0))
    return fail(ErrorCode::invalid_argument, "rope_theta or its factor is out of range", std::string(where));
  return {};
}

}  // namespace

Result<Config> parse_config(const Json& config, std::string_view where) {
  if (!config.is_object()) return fail(ErrorCode::invalid_argument, "not a JSON object", std::string(where));
  TRY(refuse_other_options(config, where));
  Config out;
  out.vocabulary = TRY(size_of(config, "vocab_size", where));
  out.hidden = TRY(size_of(config, "hidden_size", where));
  out.layers = TRY(size_of(config, "num_hidden_layers", where));
  out.heads = TRY(size_of(config, "num_attention_heads", where));
  out.key_heads = TRY(size_of(config, "num_key_value_heads", where, out.heads));
  out.head_size = TRY(size_of(config, "head_dim", where, out.hidden / out.heads));
  out.intermediate = TRY(size_of(config, "intermediate_size", where));
  out.context_length = TRY(size_of(config, "max_position_embeddings", where, 2048));
  if (out.heads % out.key_heads != 0)
    return fail(ErrorCode::invalid_argument, "num_attention_heads is no multiple of num_key_value_heads",
                std::string(where));
  if (out.head_size % 2 != 0) return fail(ErrorCode::invalid_argument, "head_dim is odd", std::string(where));
  out.rms_epsilon = number_or(config, "rms_norm_eps", 1e-6);
  TRY(parse_rope(config, out, where));
  if (auto tied = config.find("tie_word_embeddings"); tied != config.end()) out.tied_embeddings = *tied == true;
  if (auto end = config.find("eos_token_id"); end != config.end()) {
    if (end->is_number_integer()) out.end_tokens.push_back(end->get<std::int32_t>());
    if (end->is_array())
      for (const auto& id : *end)
        if (id.is_number_integer()) out.end_tokens.push_back(id.get<std::int32_t>());
  }
  return out;
}

Result<Config> read_config(const std::filesystem::path& model_folder) {
  const auto file = model_folder / "config.json";
  auto text = TRY(read_text_file(file, 1 << 20));
  return parse_config(TRY(parse_json(text, file.string())), file.string());
}

}  // namespace redoubt::engine::model
