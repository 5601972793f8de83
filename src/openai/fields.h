// SPDX-License-Identifier: Apache-2.0
//
// The members of a request's body, read strictly: each is taken once, and what nobody took is unknown.
#pragma once

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <string>
#include <string_view>

#include "base/json.h"

namespace redoubt::openai {

inline constexpr JsonLimits kBodyLimits{.bytes_max = 8 << 20, .depth_max = 40};
inline constexpr std::int64_t kTokenIdMax = 999'999'999;

inline tl::unexpected<Error> wrong(std::string message, std::string field) {
  return fail(ErrorCode::invalid_argument, std::move(message), std::move(field));
}

// "3.0" is 3: JSON knows one kind of number.
inline Json whole_number(Json value) {
  if (!value.is_number_float()) return value;
  const double number = value.get<double>();
  return std::abs(number) <= 0x1p53 && std::trunc(number) == number ? Json(static_cast<std::int64_t>(number)) : value;
}

// One object's fields. Each is taken once; what nobody took is unknown.
class Fields {
 public:
  static Result<Fields> of(const std::string& body) {
    if (body.starts_with("\xEF\xBB\xBF")) return wrong("the body begins with a byte order mark", "");
    auto json = parse_json(body, "body", kBodyLimits);
    if (!json) return wrong("the body is not valid JSON: " + json.error().message, "");
    if (!json->is_object()) return wrong("the body is not a JSON object", "");
    return Fields(std::move(*json), "");
  }
  static Result<Fields> of(Json json, const std::string& name) {
    if (!json.is_object()) return wrong("'" + name + "' must be an object", name);
    return Fields(std::move(json), name + ".");
  }

  bool has(std::string_view key) const { return json_.contains(key); }
  // The value, or null when it is absent; null given is absent too, as OpenAI's clients send it.
  Json take(std::string_view key) {
    auto found = json_.find(key);
    if (found == json_.end()) return nullptr;
    Json value = std::move(*found);
    json_.erase(found);
    return value;
  }

  Result<std::int64_t> integer(std::string_view key, std::int64_t fallback, std::int64_t low, std::int64_t high) {
    auto value = whole_number(take(key));
    if (value.is_null()) return fallback;
    bool fits = value.is_number_integer() &&
                !(value.is_number_unsigned() &&
                  value.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()));
    if (!fits || value.get<std::int64_t>() < low || value.get<std::int64_t>() > high)
      return wrong(name(key) + " must be an integer from " + std::to_string(low) + " to " + std::to_string(high), name(key));
    return value.get<std::int64_t>();
  }

  Result<double> number(std::string_view key, double fallback, double low, double high) {
    auto value = take(key);
    if (value.is_null()) return fallback;
    if (!value.is_number() || !std::isfinite(value.get<double>()) || value.get<double>() < low || value.get<double>() > high)
      return wrong(name(key) + " must be a number from " + Json(low).dump() + " to " + Json(high).dump(), name(key));
    return value.get<double>();
  }

  Result<bool> boolean(std::string_view key, bool fallback) {
    auto value = take(key);
    if (value.is_null()) return fallback;
    if (!value.is_boolean()) return wrong(name(key) + " must be true or false", name(key));
    return value.get<bool>();
  }

  Result<std::string> text(std::string_view key, std::size_t characters_max, const std::string& fallback = {}) {
    auto value = take(key);
    if (value.is_null() && !fallback.empty()) return fallback;
    if (value.is_null()) return wrong(name(key) + " is required", name(key));
    if (!value.is_string() || characters_of(value.get_ref<const std::string&>()) > characters_max)
      return wrong(name(key) + " must be a string of at most " + std::to_string(characters_max) + " characters", name(key));
    return value.get<std::string>();
  }
  // One that may be absent, or null; empty then.
  Result<std::string> text_if_any(std::string_view key, std::size_t characters_max) {
    const auto found = json_.find(key);
    if (found == json_.end()) return std::string();
    if (!found->is_null()) return text(key, characters_max);
    json_.erase(found);
    return std::string();
  }

  // A field that this server cannot honour: absent, null or one of the values that ask for nothing, given as JSON texts.
  Status only(std::string_view key, std::initializer_list<std::string_view> harmless) {
    const auto value = take(key);
    if (value.is_null() || std::any_of(harmless.begin(), harmless.end(), [&](auto text) { return value == parse_json(text, key).value_or(Json()); })) return {};
    return fail(ErrorCode::unsupported, name(key) + " has a value that this endpoint does not support", name(key));
  }

  Status end() const {
    if (json_.empty()) return {};
    auto key = json_.begin().key().substr(0, 64);
    return wrong("unknown parameter: " + name(key), name(key));
  }

 private:
  Fields(Json json, std::string prefix) : json_(std::move(json)), prefix_(std::move(prefix)) {}
  std::string name(std::string_view key) const { return std::string(prefix_).append(key); }
  Json json_;
  std::string prefix_;
};

}  // namespace redoubt::openai
