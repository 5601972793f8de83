// SPDX-License-Identifier: Apache-2.0
#include "engine/model/rope.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "engine/model/config_members.h"

namespace redoubt::engine::model {
namespace {

struct KindName {
  const char* name;
  RopeKind kind;
};
constexpr const char* kHint = "docs/models.md lists the rotary options of each family";

// Phi-3 wrote "su" and "yarn" for what is now longrope.
constexpr KindName kNames[] = {
    {"default", RopeKind::plain},     {"linear", RopeKind::linear}, {"dynamic", RopeKind::dynamic}, {"yarn", RopeKind::yarn},
    {"longrope", RopeKind::longrope}, {"llama3", RopeKind::llama3}, {"su", RopeKind::longrope}};

Result<RopeKind> kind_of(const Json& parameters, const RopeDefaults& defaults, std::string_view where) {
  const char* key = is_given(parameters, "rope_type") ? "rope_type" : "type";
  const Json given = is_given(parameters, key) ? parameters[key] : Json("default");
  const std::string name = given.is_string() ? given.get<std::string>() : given.dump();
  const auto computes = [&](RopeKind kind) { return std::ranges::find(defaults.kinds, kind) != defaults.kinds.end(); };
  for (const auto& known : kNames) {
    if (name != known.name) continue;
    if (computes(known.kind)) return known.kind;
    if (known.kind == RopeKind::yarn && computes(RopeKind::longrope)) return RopeKind::longrope;
  }
  return fail(ErrorCode::unsupported, "rope_type " + name + " of this architecture is not computed", std::string(where),
              kHint);
}

Result<std::vector<float>> factors_of(const Json& parameters, const char* key, std::string_view where) {
  std::vector<float> factors;
  for (const auto& value : TRY(json_array(parameters, key, where))) {
    if (!value.is_number() || !(value.get<double>() > 0 && value.get<double>() <= 1e6))
      return fail(ErrorCode::invalid_argument, std::string(key) + " holds what is no positive number", std::string(where));
    factors.push_back(value.get<float>());
  }
  return factors;
}

double yarn_attention_factor(const Json& parameters, double factor) {
  const auto scale = [&](double weight) { return factor <= 1 ? 1.0 : 0.1 * weight * std::log(factor) + 1.0; };
  if (is_given(parameters, "attention_factor")) return json_or(parameters, "attention_factor", 1.0);
  const double one = json_or(parameters, "mscale", 0.0), all = json_or(parameters, "mscale_all_dim", 0.0);
  return one != 0 && all != 0 ? scale(one) / scale(all) : scale(1);
}

Status parse_stretch(const Json& parameters, double context, Rope& rope, std::string_view where) {
  for (const char* key : {"attention_factor", "mscale", "mscale_all_dim"})
    if (is_given(parameters, key)) TRY(json_number(parameters, key, where));
  if (is_given(parameters, "truncate")) TRY(json_bool(parameters, "truncate", where));
  // Where the parameters of these two do not name it, what the context is stretched by.
  const bool by_context = rope.kind == RopeKind::yarn || rope.kind == RopeKind::longrope;
  rope.factor = is_given(parameters, "factor") || !by_context ? TRY(json_number(parameters, "factor", where)) : context / rope.original_length;
  switch (rope.kind) {
    case RopeKind::llama3:
      rope.low_frequency_factor = TRY(json_number(parameters, "low_freq_factor", where));
      rope.high_frequency_factor = TRY(json_number(parameters, "high_freq_factor", where));
      break;
    case RopeKind::yarn:
      rope.attention_factor = yarn_attention_factor(parameters, rope.factor);
      if (is_given(parameters, "beta_fast")) rope.beta_fast = TRY(json_number(parameters, "beta_fast", where));
      if (is_given(parameters, "beta_slow")) rope.beta_slow = TRY(json_number(parameters, "beta_slow", where));
      rope.whole_dimensions = json_or(parameters, "truncate", true);
      break;
    case RopeKind::longrope:
      rope.short_factors = TRY(factors_of(parameters, "short_factor", where));
      rope.long_factors = TRY(factors_of(parameters, "long_factor", where));
      rope.attention_factor = is_given(parameters, "attention_factor") ? TRY(json_number(parameters, "attention_factor", where))
                              : rope.factor <= 1 ? 1.0
                                                 : std::sqrt(1 + std::log(rope.factor) / std::log(rope.original_length));
      break;
    default: break;
  }
  return {};
}

}  // namespace

Json rope_parameters_of(const Json& config) {
  for (const char* key : {"rope_scaling", "rope_parameters"})
    if (config.contains(key) && config[key].is_object() && !config[key].empty()) return config[key];
  return {};
}

Result<Rope> parse_rope(const Json& given, const Json& config, const RopeDefaults& defaults, std::string_view where) {
  const Json parameters = given.is_object() ? given : Json::object();
  Rope rope;
  rope.kind = TRY(kind_of(parameters, defaults, where));
  rope.theta = is_given(parameters, "rope_theta") ? TRY(json_number(parameters, "rope_theta", where)) : defaults.theta;
  if (is_given(parameters, "mrope_section"))
    return fail(ErrorCode::unsupported, "mrope_section is not computed", std::string(where), kHint);
  if (is_given(parameters, "partial_rotary_factor"))
    rope.partial = TRY(json_number(parameters, "partial_rotary_factor", where));
  else
    rope.partial = json_or(config, "partial_rotary_factor", 1.0);
  if (rope.partial != 1 && !defaults.partial)
    return fail(ErrorCode::unsupported, "partial_rotary_factor of this architecture is not computed", std::string(where),
                kHint);
  const auto context = static_cast<double>(defaults.context_length);
  const bool dynamic = rope.kind == RopeKind::dynamic;
  rope.original_length = dynamic ? context
                         : is_given(config, "original_max_position_embeddings")
                             ? TRY(json_number(config, "original_max_position_embeddings", where))
                         : is_given(parameters, "original_max_position_embeddings")
                             ? TRY(json_number(parameters, "original_max_position_embeddings", where))
                             : context;
  if (rope.kind != RopeKind::plain) TRY(parse_stretch(parameters, context, rope, where));
  for (const auto& [name, value, least, most] : {std::tuple{"rope_theta", rope.theta, 1.001, 1e12},
                                                 {"original_max_position_embeddings", rope.original_length, 1.0, 0x1p24},
                                                 {"partial_rotary_factor", rope.partial, 0.0, 1.0},
                                                 {"factor", rope.factor, 0.0, 1e6},
                                                 {"attention_factor", rope.attention_factor, 0.0, 1e6},
                                                 {"low_freq_factor", rope.low_frequency_factor, 0.0, 1e6},
                                                 {"high_freq_factor", rope.high_frequency_factor, 0.0, 1e6},
                                                 {"beta_fast", rope.beta_fast, 0.0, 1e6},
                                                 {"beta_slow", rope.beta_slow, 0.0, 1e6}})
    if (!(value > 0 && value >= least && value <= most))
      return fail(ErrorCode::invalid_argument, std::string("the rotary ") + name + " is out of range", std::string(where));
  return rope;
}

}  // namespace redoubt::engine::model
