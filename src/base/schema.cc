// SPDX-License-Identifier: Apache-2.0
#include "base/schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <regex>
#include <set>

#include "base/check.h"

namespace redoubt {
namespace {

constexpr std::size_t kTextBytesMax = 65'536;
// std::regex goes one call deeper for each character: a longer text would end the stack.
constexpr std::size_t kFormBytesMax = 8192;

bool has_type(const Json& value, const std::string& type) {
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "string") return value.is_string();
  if (type == "integer") return value.is_number_integer();
  if (type == "number") return value.is_number();
  if (type == "boolean") return value.is_boolean();
  CHECK(type == "null");
  return value.is_null();
}

class Checker {
 public:
  Checker(const YamlDocument& document, const Json& root) : document_(document), root_(root) {}

  Status check(Json& value, const Json& schema, const std::string& pointer) const {
    if (schema.contains("$ref")) return check(value, root_.at(Json::json_pointer(schema["$ref"].get<std::string>().substr(1))), pointer);
    static const std::set<std::string> kKnown = {
        "$schema", "$id", "$defs", "title", "description", "type", "properties", "required", "additionalProperties", "enum", "const",
        "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "pattern", "items", "minItems",
        "maxItems", "default"};
    for (const auto& [keyword, unused] : schema.items()) CHECK(kKnown.contains(keyword));
    TRY(check_type(value, schema, pointer));
    if (value.is_number()) TRY(check_number(value, schema, pointer));
    if (value.is_string()) TRY(check_string(value.get<std::string>(), schema, pointer));
    if (value.is_array()) TRY(check_array(value, schema, pointer));
    if (value.is_object()) TRY(check_object(value, schema, pointer));
    return {};
  }

 private:
  tl::unexpected<Error> refuse(const std::string& pointer, std::string why, std::string hint = {}) const {
    std::string field = pointer.empty() ? "the file" : pointer.substr(1);
    std::replace(field.begin(), field.end(), '/', '.');
    return fail(ErrorCode::invalid_argument, field + ": " + why, document_.locate(pointer), std::move(hint));
  }

  Status check_type(const Json& value, const Json& schema, const std::string& pointer) const {
    if (schema.contains("type")) {
      const Json types = schema["type"].is_array() ? schema["type"] : Json::array({schema["type"]});
      const bool fits = std::any_of(types.begin(), types.end(), [&](const Json& type) { return has_type(value, type); });
      if (!fits) return refuse(pointer, fmt::format("must be {}, is {}", fmt::join(types.get<std::vector<std::string>>(), " or "), dump_json(value)));
    }
    if (schema.contains("const") && value != schema["const"]) return refuse(pointer, "must be " + dump_json(schema["const"]));
    if (!schema.contains("enum")) return {};
    const Json& allowed = schema["enum"];
    if (std::find(allowed.begin(), allowed.end(), value) != allowed.end()) return {};
    return refuse(pointer, fmt::format("{} is none of {}", dump_json(value), dump_json(allowed)));
  }

  Status check_number(const Json& value, const Json& schema, const std::string& pointer) const {
    const double number = value.get<double>();
    const auto limit = [&](const char* keyword) { return schema[keyword].get<double>(); };
    if (schema.contains("minimum") && !(number >= limit("minimum"))) return refuse(pointer, fmt::format("{} is under the least allowed, {}", number, limit("minimum")));
    if (schema.contains("maximum") && !(number <= limit("maximum"))) return refuse(pointer, fmt::format("{} is over the most allowed, {}", number, limit("maximum")));
    if (schema.contains("exclusiveMinimum") && !(number > limit("exclusiveMinimum"))) return refuse(pointer, fmt::format("must be more than {}", limit("exclusiveMinimum")));
    if (schema.contains("exclusiveMaximum") && !(number < limit("exclusiveMaximum"))) return refuse(pointer, fmt::format("must be less than {}", limit("exclusiveMaximum")));
    return {};
  }

  Status check_string(const std::string& text, const Json& schema, const std::string& pointer) const {
    if (text.size() < schema.value("minLength", std::size_t{0})) return refuse(pointer, text.empty() ? "is empty" : "is too short");
    const bool has_form = schema.contains("pattern");
    if (text.size() > schema.value("maxLength", has_form ? kFormBytesMax : kTextBytesMax)) return refuse(pointer, "is too long");
    if (has_form && !std::regex_search(text, std::regex(schema["pattern"].get<std::string>()))) {
      return refuse(pointer, fmt::format("'{}' does not have the form {}", text, schema["pattern"].get<std::string>()));
    }
    return {};
  }

  Status check_array(Json& value, const Json& schema, const std::string& pointer) const {
    if (value.size() < schema.value("minItems", std::size_t{0})) return refuse(pointer, fmt::format("needs at least {} entries", schema["minItems"].get<int>()));
    if (value.size() > schema.value("maxItems", std::size_t{10'000})) return refuse(pointer, "has too many entries");
    for (std::size_t i = 0; i < value.size() && schema.contains("items"); ++i) {
      TRY(check(value[i], schema["items"], fmt::format("{}/{}", pointer, i)));
    }
    return {};
  }

  Status check_object(Json& value, const Json& schema, const std::string& pointer) const {
    const Json properties = schema.value("properties", Json::object());
    TRY(check_keys(value, schema, properties, pointer));
    for (const auto& key : schema.value("required", Json::array())) {
      if (!value.contains(key)) return refuse(pointer, fmt::format("'{}' is missing", key.get<std::string>()), "add it");
    }
    for (const auto& [key, property] : properties.items()) {
      if (!value.contains(key)) {
        if (!property.contains("default")) continue;
        value[key] = property["default"];
      }
      TRY(check(value[key], property, pointer + "/" + key));
    }
    return {};
  }

  // Whatever is no named property is either checked by additionalProperties or refused with the nearest name.
  Status check_keys(Json& value, const Json& schema, const Json& properties, const std::string& pointer) const {
    const Json additional = schema.value("additionalProperties", Json(true));
    for (auto& [key, child] : value.items()) {
      if (properties.contains(key) || additional == Json(true)) continue;
      if (additional.is_object()) {
        TRY(check(child, additional, pointer + "/" + key));
        continue;
      }
      std::vector<std::string> known;
      for (const auto& [name, unused] : properties.items()) known.push_back(name);
      const auto near = nearest_word(key, known);
      return refuse(pointer + "/" + key, fmt::format("unknown key '{}'", key),
                    near.empty() ? fmt::format("known here: {}", fmt::join(known, ", ")) : fmt::format("did you mean '{}'?", near));
    }
    return {};
  }

  const YamlDocument& document_;
  const Json& root_;
};

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string nearest_word(std::string_view word, const std::vector<std::string>& known) {
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const auto& candidate : known) {
    const auto distance = edit_distance(word, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

Result<Json> check_against_schema(const YamlDocument& document, const Json& schema) {
  Json value = document.value;
  TRY(Checker(document, schema).check(value, schema, ""));
  return value;
}

}  // namespace redoubt
