// SPDX-License-Identifier: Apache-2.0
#include "engine/model/config.h"

#include <algorithm>
#include <cmath>

#include "base/file.h"
#include "engine/model/config_members.h"
#include "engine/model/families.h"

namespace redoubt::engine::model {
namespace {

tl::unexpected<Error> unsupported(std::string what, std::string_view where) {
  std::string known;
  for (const auto& family : families()) known += std::string(known.empty() ? "" : ", ") + family.architecture;
  return fail(ErrorCode::unsupported, std::move(what), std::string(where),
              "computed are " + known + "; docs/models.md has their options");
}

tl::unexpected<Error> impossible(std::string what, std::string_view where) {
  return fail(ErrorCode::invalid_argument, std::move(what), std::string(where));
}

// One family's config.json under the names and with the defaults that Transformers gives it.
class Reader {
 public:
  Reader(const Json& given, const Family& family, std::string_view where)
      : family_(family), config_(family.defaults), where_(where) {
    Json renamed = given;
    for (const auto& [from, to] : family.renamed)
      if (given.contains(from) && !given.contains(to)) renamed[to] = given[from];
    config_.update(renamed);
  }

  Status refuse_other_options() const;
  Status refuse_other_types() const;
  Result<Config> read();

 private:
  Result<std::int64_t> size(const char* key, std::optional<std::int64_t> fallback = {}) const;
  Result<double> positive(const char* key, double fallback) const;
  Status read_sizes();
  Status read_activation();
  void read_biases();
  Status read_attention();
  Status read_windows();
  Status read_ropes();
  void read_rest();

  const Family& family_;
  Json config_;
  std::string_view where_;
  Config out_;
};

// Members that change the computation must be absent, or null, or say what is computed; families that compute more read
// them.
Status Reader::refuse_other_options() const {
  const std::pair<const char*, Json> computed[] = {{"attention_bias", false},
                                                   {"mlp_bias", false},
                                                   {"lm_head_bias", false},
                                                   {"sliding_window", nullptr},
                                                   {"layer_types", nullptr},
                                                   {"partial_rotary_factor", 1},
                                                   {"attn_logit_softcapping", nullptr},
                                                   {"final_logit_softcapping", nullptr},
                                                   {"query_pre_attn_scalar", nullptr},
                                                   {"use_bidirectional_attention", false},
                                                   {"add_cross_attention", false},
                                                   {"is_encoder_decoder", false},
                                                   {"num_experts", 0},
                                                   {"num_local_experts", 0},
                                                   {"n_routed_experts", 0},
                                                   {"vision_config", nullptr},
                                                   {"text_config", nullptr},
                                                   {"quantization_config", nullptr}};
  for (const auto& [key, value] : computed)
    if (is_given(config_, key) && config_[key] != value && std::ranges::find(family_.reads, key) == family_.reads.end())
      return unsupported(
          std::string(key) + " is " + config_[key].dump() + ", computed for " + family_.architecture + " is " + value.dump(),
          where_);
  if (is_given(config_, "model_type") && config_["model_type"] != family_.model_type)
    return unsupported(
        "model_type is " + config_["model_type"].dump() + ", that of " + family_.architecture + " is " + family_.model_type,
        where_);
  return {};
}

// What is read further down with a default is that only where it is missing, not where it is something else.
Status Reader::refuse_other_types() const {
  for (const char* key : {"attention_bias", "mlp_bias", "scale_attn_weights", "scale_attn_by_inverse_layer_idx", "use_sliding_window", "tie_word_embeddings"})
    if (is_given(config_, key)) TRY(json_bool(config_, key, where_));
  for (const char* key : {"max_window_layers", "sliding_window_pattern"})
    if (is_given(config_, key)) TRY(json_integer(config_, key, where_));
  for (const char* key : {"rope_theta", "rope_local_base_freq", "partial_rotary_factor"})
    if (is_given(config_, key)) TRY(json_number(config_, key, where_));
  return {};
}

Result<std::int64_t> Reader::size(const char* key, std::optional<std::int64_t> fallback) const {
  // The file's own name of the key is what the message should say.
  std::string name = key;
  for (const auto& [from, to] : family_.renamed)
    if (to == key) name = from;
  if (fallback && !is_given(config_, key)) return *fallback;
  if (!is_given(config_, key)) return impossible("'" + name + "' is missing", where_);
  const auto value = TRY(json_integer(config_, key, where_));
  if (value < 1 || value > (1 << 24)) return impossible(name + " is out of range", where_);
  return value;
}

Result<double> Reader::positive(const char* key, double fallback) const {
  if (!is_given(config_, key)) return fallback;
  const double value = TRY(json_number(config_, key, where_));
  if (!(value > 0) || !std::isfinite(value)) return impossible(std::string(key) + " is out of range", where_);
  return value;
}

Status Reader::read_sizes() {
  out_.vocabulary = TRY(size("vocab_size"));
  out_.hidden = TRY(size("hidden_size"));
  out_.layers = TRY(size("num_hidden_layers"));
  out_.heads = TRY(size("num_attention_heads"));
  out_.key_heads = TRY(size("num_key_value_heads", out_.heads));
  if (!is_given(config_, "head_dim") && out_.hidden % out_.heads != 0)
    return impossible("hidden_size is no multiple of num_attention_heads", where_);
  out_.head_size = TRY(size("head_dim", out_.hidden / out_.heads));
  if (is_gated(out_.activation))
    out_.intermediate = TRY(size("intermediate_size"));
  else
    out_.intermediate = TRY(size("intermediate_size", 4 * out_.hidden));
  out_.context_length = TRY(size("max_position_embeddings"));
  if (out_.heads % out_.key_heads != 0)
    return impossible("num_attention_heads is no multiple of num_key_value_heads", where_);
  out_.norm_epsilon = TRY(positive("rms_norm_eps", 1e-6));
  return {};
}

Status Reader::read_activation() {
  const Json name =
      is_given(config_, family_.activation_key) ? config_[family_.activation_key] : Json(family_.activations[0].first);
  for (const auto& [known, activation] : family_.activations)
    if (name == known) {
      out_.activation = activation;
      return {};
    }
  return unsupported(
      std::string(family_.activation_key) + " is " + name.dump() + ", computed is \"" + family_.activations[0].first + "\"",
      where_);
}

void Reader::read_biases() {
  const auto says = [&](const char* key) { return json_or(config_, key, false); };
  const bool attention = family_.biases == Biases::all || (family_.biases == Biases::by_key && says("attention_bias"));
  const bool feed = family_.biases == Biases::all || (family_.biases == Biases::by_key && says("mlp_bias"));
  out_.biased = {attention || family_.biases == Biases::query_key_value, attention, feed, feed};
}

Status Reader::read_attention() {
  double scale = 1 / std::sqrt(TRY(positive("query_pre_attn_scalar", static_cast<double>(out_.head_size))));
  if (!json_or(config_, "scale_attn_weights", true)) scale = 1;
  const bool by_layer = json_or(config_, "scale_attn_by_inverse_layer_idx", false);
  for (std::int64_t i = 0; i < out_.layers; ++i)
    out_.attention_scales.push_back(by_layer ? scale / static_cast<double>(i + 1) : scale);
  out_.attention_softcap = TRY(positive("attn_logit_softcapping", 0));
  out_.logit_softcap = TRY(positive("final_logit_softcapping", 0));
  return {};
}

// Which layers have the window: as layer_types lists them, else by the family's rule.
Status Reader::read_windows() {
  if (family_.windows == Windows::none) return {};
  const bool used = family_.windows != Windows::from_layer || json_or(config_, "use_sliding_window", false);
  const std::int64_t window = used && is_given(config_, "sliding_window") ? TRY(size("sliding_window")) : 0;
  const auto from = json_or(config_, "max_window_layers", std::int64_t{0});
  const bool patterned = std::ranges::find(family_.reads, "sliding_window_pattern") != family_.reads.end();
  const auto pattern = patterned ? std::max(std::int64_t{1}, json_or(config_, "sliding_window_pattern", std::int64_t{2})) : 2;
  const Json kinds = is_given(config_, "layer_types") ? config_["layer_types"] : Json();
  if (!kinds.is_null() && (!kinds.is_array() || std::ssize(kinds) != out_.layers))
    return impossible("layer_types does not name the kind of each layer", where_);
  for (std::int64_t i = 0; i < out_.layers; ++i) {
    bool windowed = family_.windows == Windows::all || (family_.windows == Windows::from_layer && i >= from && window > 0) ||
                    (family_.windows == Windows::pattern && (i + 1) % pattern != 0);
    if (!kinds.is_null()) {
      const Json& kind = kinds[static_cast<std::size_t>(i)];
      if (kind != "sliding_attention" && kind != "full_attention")
        return unsupported(
            "layer_types holds " + kind.dump() + ", computed are \"full_attention\" and \"sliding_attention\"", where_);
      windowed = kind == "sliding_attention";
    }
    if (windowed && window == 0 && family_.windows != Windows::all)
      return impossible("a layer has a sliding window, but sliding_window does not say how long", where_);
    out_.windows.push_back(windowed ? window : 0);
  }
  return {};
}

Status Reader::read_ropes() {
  out_.rope.reset();
  if (!family_.turned) return {};
  const RopeDefaults defaults{.kinds = family_.ropes,
                              .theta = json_or(config_, "rope_theta", 10000.0),
                              .context_length = out_.context_length,
                              .partial = std::ranges::find(family_.reads, "partial_rotary_factor") != family_.reads.end()};
  Json parameters = rope_parameters_of(config_);
  const bool local = std::ranges::find(family_.reads, "rope_local_base_freq") != family_.reads.end();
  if (local) {
    // Transformers 5 nests the parameters by kind of layer; before, rope_scaling was that of the layers without a window.
    const bool nested = parameters.contains("full_attention") || parameters.contains("sliding_attention");
    if (!nested && is_given(config_, "rope_parameters"))
      return unsupported("rope_parameters does not say which layers it is for", where_);
    auto whole = defaults, windowed = defaults;
    whole.theta = json_or(config_, "rope_theta", 1e6);
    windowed.theta = json_or(config_, "rope_local_base_freq", 1e4);
    out_.window_rope =
        TRY(parse_rope(nested ? json_or(parameters, "sliding_attention", Json()) : Json(), config_, windowed, where_));
    if (nested) parameters = json_or(parameters, "full_attention", Json());
    out_.rope = TRY(parse_rope(parameters, config_, whole, where_));
  } else {
    out_.rope = TRY(parse_rope(parameters, config_, defaults, where_));
  }
  const auto turned = static_cast<std::int64_t>(static_cast<double>(out_.head_size) * out_.rope->partial);
  if (turned % 2 != 0 || turned == 0) return impossible("head_dim is odd, or its turned part is", where_);
  for (const auto* factors : {&out_.rope->short_factors, &out_.rope->long_factors})
    if (out_.rope->kind == RopeKind::longrope && std::ssize(*factors) != turned / 2)
      return impossible("short_factor and long_factor must hold a number for each frequency", where_);
  // A stretched model takes what it is stretched to, also where max_position_embeddings still says what it was trained with.
  if (out_.rope->kind == RopeKind::dynamic || out_.rope->kind == RopeKind::yarn) {
    const double length = std::min(out_.rope->factor * out_.rope->original_length, 0x1p24);
    out_.context_length = std::max(out_.context_length, static_cast<std::int64_t>(length));
  }
  return {};
}

void Reader::read_rest() {
  out_.tied_embeddings = json_or(config_, "tie_word_embeddings", false);
  if (family_.scaled_embedding) out_.embedding_scale = std::sqrt(static_cast<double>(out_.hidden));
  if (const auto& end = config_.contains("eos_token_id") ? config_["eos_token_id"] : Json(); end.is_number_integer())
    out_.end_tokens.push_back(end.get<std::int32_t>());
  else if (end.is_array())
    for (const auto& id : end)
      if (id.is_number_integer()) out_.end_tokens.push_back(id.get<std::int32_t>());
  if (const Json padding = json_or(config_, "pad_token_id", Json()); family_.turned && padding.is_number_integer()) {
    const auto row = padding.get<std::int64_t>();
    out_.padding_token = row < 0 ? row + out_.vocabulary : row;
  }
  for (const char* key : {"attention_dropout", "resid_pdrop", "embd_pdrop", "attn_pdrop"})
    if (is_given(config_, key) && config_[key] != 0) out_.dropouts.emplace_back(key);
}

Result<Config> Reader::read() {
  out_.architecture = family_.architecture;
  out_.name = json_or(config_, "_name_or_path", "");
  out_.norm = family_.norm;
  out_.norm_from_one = family_.norm_from_one;
  out_.names = family_.names;
  TRY(read_activation());
  TRY(read_sizes());
  read_biases();
  TRY(read_attention());
  TRY(read_windows());
  TRY(read_ropes());
  read_rest();
  return std::move(out_);
}

}  // namespace

double Config::attention_scale(std::int64_t layer) const {
  if (attention_scales.empty()) return 1 / std::sqrt(static_cast<double>(head_size));
  return attention_scales[static_cast<std::size_t>(layer)];
}

Result<Config> parse_config(const Json& config, std::string_view where) {
  if (!config.is_object()) return impossible("not a JSON object", where);
  const Json architectures = json_or(config, "architectures", Json());
  const bool named = !architectures.is_null() && !architectures.empty();
  for (const auto& family : families()) {
    // Without a name the type tells, as for Transformers.
    if (named ? architectures != Json::array({family.architecture}) : json_or(config, "model_type", "") != family.model_type) continue;
    Reader reader(config, family, where);
    TRY(reader.refuse_other_options());
    TRY(reader.refuse_other_types());
    return reader.read();
  }
  return unsupported("the architecture " +
                         (named ? architectures.dump() + " is not computed" : "is missing, and model_type names none that is computed") +
                         " (architectures)",
                     where);
}

Result<Config> read_config(const std::filesystem::path& model_folder) {
  const auto file = model_folder / "config.json";
  auto text = TRY(read_text_file(file, 1 << 20));
  return parse_config(TRY(parse_json(text, file.string())), file.string());
}

Status check_trainable(const Config& config) {
  if (config.dropouts.empty()) return {};
  return fail(ErrorCode::unsupported,
              "the base model's " + config.dropouts.front() + " drops values in training, which is not computed",
              "config.json", "set it to 0 in the model's config.json; the adapter's own dropout is lora_dropout");
}

}  // namespace redoubt::engine::model
