// SPDX-License-Identifier: Apache-2.0
//
// enum, const, and choices between schemas.
#include <algorithm>
#include <cmath>

#include "json_schema/compiler.h"

namespace redoubt::json_schema {
namespace {

constexpr std::size_t kOneOfMax = 64;
constexpr int kDisjointDepthMax = 4;

bool is_whole(const Json& value) { return value.is_number_integer() || (value.is_number_float() && std::floor(value.get<double>()) == value.get<double>()); }

bool has_type(const Json& value, const std::string& type) {
  if (type == "null") return value.is_null();
  if (type == "boolean") return value.is_boolean();
  if (type == "integer") return is_whole(value);
  if (type == "number") return value.is_number();
  if (type == "string") return value.is_string();
  return type == "array" ? value.is_array() : value.is_object();
}

bool overlap(const std::string& a, const std::string& b) {
  const auto numeric = [](const std::string& type) { return type == "integer" || type == "number"; };
  return a == b || (numeric(a) && numeric(b));
}

// A number that our reading may have rounded.
bool holds_rounded(const Json& value) {
  if (value.is_structured()) return std::ranges::any_of(value, holds_rounded);
  return value.is_number_float() && std::abs(value.get<double>()) >= 0x1p53;
}

bool requires_member(const Schema& schema, const std::string& name) {
  const auto required = schema.find("required");
  return required != schema.end() && required->is_array() && std::ranges::find(*required, Schema(name)) != required->end();
}

}  // namespace

Status Compiler::add_values(const Place& place, StateId start, StateId end) {
  TRY(only(place, {"enum", "const", "type"}));
  const auto& schema = *place.schema;
  Schema list = schema.contains("enum") ? schema["enum"] : Schema::array({schema["const"]});
  if (!list.is_array() || list.empty()) return wrong_schema(place, "enum must be a list of values");
  const auto types = TRY(types_of(place));
  // Values that begin alike share their states.
  std::map<std::pair<StateId, char>, StateId> next;
  bool any = false;
  for (const auto& value : list) {
    const Json plain = Json::parse(value.dump());
    if (!types.empty() && std::ranges::none_of(types, [&](const auto& type) { return has_type(plain, type); })) continue;
    if (schema.contains("const") && plain != Json::parse(schema["const"].dump())) continue;
    if (holds_rounded(plain)) return unsupported_schema(place, "a number of so many digits in enum or const");
    StateId at = start;
    for (const char byte : value.dump()) {
      const auto [found, fresh] = next.try_emplace({at, byte}, 0);
      if (fresh) {
        found->second = grammar_.add_state();
        grammar_.bytes(at, static_cast<std::uint8_t>(byte), static_cast<std::uint8_t>(byte), found->second);
      }
      at = found->second;
    }
    grammar_.free(at, {end});
    any = true;
  }
  return any ? Status() : wrong_schema(place, "no value of enum or const fits its other keywords");
}

Status Compiler::add_branches(const Place& place, const char* key, StateId start, StateId end) {
  TRY(only(place, {key}));
  const auto& list = place.schema->at(key);
  if (!list.is_array() || list.empty()) return wrong_schema(place, std::string(key) + " must be a list of schemas");
  if (key == std::string_view("allOf") && list.size() > 1) return unsupported_schema(place, "allOf of several schemas");
  if (key == std::string_view("oneOf")) {
    if (list.size() > kOneOfMax) return fail(ErrorCode::limit_exceeded, "oneOf of more than " + std::to_string(kOneOfMax) + " schemas", place.pointer);
    for (std::size_t i = 0; i < list.size(); ++i)
      for (std::size_t j = 0; j < i; ++j)
        if (!disjoint(place.at(key, j), place.at(key, i), 0))
          return unsupported_schema(place, "oneOf whose branches " + std::to_string(j) + " and " + std::to_string(i) + " may fit one value together (write anyOf)");
  }
  for (std::size_t i = 0; i < list.size(); ++i) grammar_.call(start, TRY(rule_of(place.at(key, i))), end);
  return {};
}

std::optional<std::vector<Json>> Compiler::values_of(const Place& place) const {
  const auto& schema = *place.schema;
  std::vector<Json> values;
  if (const auto one = schema.find("const"); one != schema.end()) return std::vector{Json::parse(one->dump())};
  if (const auto list = schema.find("enum"); list != schema.end() && list->is_array()) {
    for (const auto& value : *list) values.push_back(Json::parse(value.dump()));
    return values;
  }
  return std::nullopt;
}

bool Compiler::disjoint(const Place& first, const Place& second, int depth) const {
  if (depth > kDisjointDepthMax) return false;
  const auto a = resolve(first), b = resolve(second);
  if (!a || !b || !a->schema->is_object() || !b->schema->is_object()) return false;
  const auto values_a = values_of(*a), values_b = values_of(*b);
  if (values_a && values_b) return std::ranges::none_of(*values_a, [&](const Json& value) { return std::ranges::find(*values_b, value) != values_b->end(); });
  const auto types_a = types_of(*a), types_b = types_of(*b);
  if (!types_a || !types_b) return false;
  const auto outside = [](const std::vector<Json>& values, const std::vector<std::string>& types) {
    return !types.empty() && std::ranges::none_of(values, [&](const Json& value) { return std::ranges::any_of(types, [&](const auto& type) { return has_type(value, type); }); });
  };
  if (values_a) return outside(*values_a, *types_b);
  if (values_b) return outside(*values_b, *types_a);
  if (types_a->empty() || types_b->empty() || !a->schema->contains("type") || !b->schema->contains("type")) return false;
  if (std::ranges::none_of(*types_a, [&](const auto& x) { return std::ranges::any_of(*types_b, [&](const auto& y) { return overlap(x, y); }); })) return true;
  // Objects that one member, which both must have, tells apart.
  const std::vector<std::string> object = {"object"};
  if (*types_a != object || *types_b != object || !a->schema->contains("properties") || !b->schema->contains("properties")) return false;
  const Place in_a = a->at("properties"), in_b = b->at("properties");
  if (!in_a.schema->is_object() || !in_b.schema->is_object()) return false;
  return std::ranges::any_of(in_a.schema->items(), [&](const auto& member) {
    const auto& name = member.key();
    return in_b.schema->contains(name) && requires_member(*a->schema, name) && requires_member(*b->schema, name) && disjoint(in_a.at(name), in_b.at(name), depth + 1);
  });
}

}  // namespace redoubt::json_schema
