// SPDX-License-Identifier: Apache-2.0
#include "json_schema/compile.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "json_schema/code_points.h"
#include "json_schema/compiler.h"

namespace redoubt::json_schema {
namespace {

// Keywords that say nothing about a value.
constexpr std::string_view kAnnotations[] = {"title", "description", "default", "examples", "$comment", "deprecated", "readOnly", "writeOnly", "$defs", "definitions",
                                              "discriminator"};  // OpenAPI's, which Pydantic writes: it names what tells the branches apart
constexpr std::size_t kPlacesDeepMax = 512;  // rules whose making waits for another, which is how deep our stack gets
// Keywords and the type whose values they are about.
constexpr std::pair<std::string_view, std::string_view> kTypeOfKeyword[] = {
    {"properties", "object"}, {"required", "object"},  {"additionalProperties", "object"}, {"items", "array"},      {"minItems", "array"},
    {"maxItems", "array"},    {"uniqueItems", "array"}, {"minLength", "string"},           {"maxLength", "string"}, {"pattern", "string"},  {"format", "string"},
    {"minimum", "number"},    {"maximum", "number"},   {"exclusiveMinimum", "number"},     {"exclusiveMaximum", "number"}};
constexpr std::string_view kTypes[] = {"null", "boolean", "integer", "number", "string", "array", "object"};

bool is_annotation(const Place& place, std::string_view key) {
  if (std::ranges::find(kAnnotations, key) != std::end(kAnnotations)) return true;
  return place.pointer == "#" && (key == "$schema" || key == "$id");
}

Status check_members(const Json& value, std::size_t most) {
  if (value.is_structured() && value.size() > most) return fail(ErrorCode::limit_exceeded, "more than " + std::to_string(most) + " members or entries", "#");
  for (const auto& inner : value)
    if (inner.is_structured()) TRY(check_members(inner, most));
  return {};
}

}  // namespace

tl::unexpected<Error> wrong_schema(const Place& place, std::string what) { return fail(ErrorCode::invalid_argument, std::move(what), place.pointer); }
tl::unexpected<Error> unsupported_schema(const Place& place, std::string what) {
  return fail(ErrorCode::unsupported, std::move(what) + " is not supported", place.pointer);
}

Place Place::at(const std::string& key) const {
  std::string escaped;
  for (const char c : key) escaped += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
  return {&schema->at(key), pointer + "/" + escaped};
}
Place Place::at(const char* key, std::size_t index) const { return {&schema->at(key).at(index), pointer + "/" + key + "/" + std::to_string(index)}; }

Result<std::shared_ptr<const Grammar>> compile_schema(std::string_view schema, CompileLimits limits) {
  // The first reading checks, the second keeps the order of members.
  const auto checked = parse_json(schema, "#", {limits.bytes_max, limits.schema_depth_max});
  if (!checked) return fail(checked.error().code, "the schema is not to be read: " + checked.error().message, "#");
  TRY(check_members(*checked, limits.members_max));
  const auto document = Schema::parse(schema, nullptr, false);
  CHECK(!document.is_discarded());
  return std::make_shared<const Grammar>(TRY(Compiler(document, limits).run()));
}

std::shared_ptr<const Grammar> any_object() {
  static const std::shared_ptr<const Grammar> grammar = *compile_schema(R"({"type":"object"})");
  return grammar;
}

Result<Grammar> Compiler::run() {
  const auto root = TRY(rule_of({&document_}));
  if (auto finished = grammar_.finish(root); !finished) return fail(finished.error().code, finished.error().message, "#");
  return std::move(grammar_);
}

Result<RuleId> Compiler::rule_of(const Place& place) {
  if (grammar_.is_too_large()) return fail(ErrorCode::limit_exceeded, "the schema is too large", "#");
  const auto target = TRY(resolve(place));
  if (const auto found = rules_.find(target.pointer); found != rules_.end()) return found->second;
  const auto rule = rules_[target.pointer] = grammar_.add_rule();
  if (++depth_ > kPlacesDeepMax) return fail(ErrorCode::limit_exceeded, "the schema is nested too deep", place.pointer);
  TRY(fill(rule, target));
  --depth_;
  return rule;
}

Result<Place> Compiler::resolve(const Place& from) const {
  Place place = from;
  std::set<std::string> seen;
  while (place.schema->is_object() && place.schema->contains("$ref")) {
    TRY(only(place, {"$ref"}));
    if (!seen.insert(place.pointer).second) return wrong_schema(from, "$ref goes round in a circle");
    const auto& ref = place.schema->at("$ref");
    if (!ref.is_string()) return wrong_schema(place, "$ref must be a string");
    const auto text = ref.get<std::string>();
    if (!text.starts_with('#') || text.find('%') != std::string::npos) return unsupported_schema(place, "$ref to another document");
    Place target{&document_, text == "#/" ? "#" : text};
    std::string_view rest = std::string_view(text).substr(1);
    if (!rest.empty() && rest[0] != '/') return unsupported_schema(place, "$ref to an anchor");
    while (!rest.empty()) {
      rest.remove_prefix(1);
      std::string key(rest.substr(0, rest.find('/')));
      rest.remove_prefix(key.size());
      for (const auto& [escape, c] : {std::pair{"~1", "/"}, {"~0", "~"}})
        for (auto at = key.find(escape); at != std::string::npos; at = key.find(escape, at + 1)) key.replace(at, 2, c);
      const Schema* next = nullptr;
      if (target.schema->is_object()) {
        if (const auto found = target.schema->find(key); found != target.schema->end()) next = &*found;
      } else if (target.schema->is_array() && !key.empty() && key.size() < 6 && std::ranges::all_of(key, [](char c) { return c >= '0' && c <= '9'; })) {
        if (const auto index = std::stoul(key); index < target.schema->size()) next = &target.schema->at(index);
      }
      if (next == nullptr) return wrong_schema(place, "$ref names no place of the schema: " + text.substr(0, 100));
      target.schema = next;
    }
    place = target;
  }
  return place;
}

Status Compiler::only(const Place& place, std::initializer_list<const char*> keys) const {
  for (const auto& [key, value] : place.schema->items()) {
    const auto is = [name = key](const char* known) { return name == known; };
    if (is_annotation(place, key) || std::ranges::any_of(keys, is)) continue;
    const bool is_known = std::ranges::any_of(kTypeOfKeyword, [name = key](const auto& known) { return known.first == name; }) ||
                          key == "type" || key == "enum" || key == "const" || key == "anyOf" || key == "oneOf" || key == "allOf";
    if (is_known) return unsupported_schema(place, "'" + key + "' beside '" + std::string(*keys.begin()) + "'");
    return unsupported_schema(place, "'" + key.substr(0, 64) + "'");
  }
  return {};
}

Status Compiler::fill(RuleId rule, const Place& place) {
  const auto start = grammar_.start_of(rule), end = grammar_.add_state();
  grammar_.end_at(end);
  const auto& schema = *place.schema;
  if (schema.is_boolean()) {
    if (!schema.get<bool>()) return unsupported_schema(place, "the schema false here");
    grammar_.call(start, any_value(), end);
    return {};
  }
  if (!schema.is_object()) return wrong_schema(place, "a schema is an object, true or false");
  if (schema.contains("enum") || schema.contains("const")) return add_values(place, start, end);
  for (const char* key : {"anyOf", "oneOf", "allOf"})
    if (schema.contains(key)) return add_branches(place, key, start, end);
  const auto types = TRY(types_of(place));
  TRY(only(place, {"type", "properties", "required", "additionalProperties", "items", "minItems", "maxItems", "uniqueItems", "minLength", "maxLength", "pattern", "format",
                   "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}));
  if (types.empty()) return grammar_.call(start, any_value(), end), Status();
  if (schema.contains("format") && std::ranges::find(types, "string") == types.end()) return unsupported_schema(place, "'format' of what is no string");
  for (const auto& type : types) TRY(add_type(place, type, start, end));
  return {};
}

// The types that are named; else the one that the keywords are about; none: any value.
Result<std::vector<std::string>> Compiler::types_of(const Place& place) const {
  std::vector<std::string> types;
  if (const auto type = place.schema->find("type"); type != place.schema->end()) {
    const auto list = type->is_string() ? Schema::array({*type}) : *type;
    if (!list.is_array() || list.empty()) return wrong_schema(place, "type must be a name or a list of names");
    for (const auto& one : list) {
      if (!one.is_string() || std::ranges::find(kTypes, one.get<std::string>()) == std::end(kTypes)) return wrong_schema(place, "type names no type of JSON");
      types.push_back(one.get<std::string>());
    }
    return types;
  }
  for (const auto& [keyword, type] : kTypeOfKeyword)
    if (place.schema->contains(keyword) && std::ranges::find(types, type) == types.end()) types.emplace_back(type);
  if (types.size() > 1) return unsupported_schema(place, "keywords of several types without 'type'");
  return types;
}

Result<std::uint32_t> Compiler::count(const Place& place, const char* key, std::uint32_t fallback) const {
  const auto found = place.schema->find(key);
  if (found == place.schema->end()) return fallback;
  const bool whole = found->is_number_unsigned() || (found->is_number_float() && found->get<double>() >= 0 && std::floor(found->get<double>()) == found->get<double>());
  if (!whole) return wrong_schema(place, std::string(key) + " must be a whole number, 0 or more");
  if (found->get<double>() > static_cast<double>(limits_.length_max)) return fail(ErrorCode::limit_exceeded, std::string(key) + " is more than " + std::to_string(limits_.length_max), place.pointer);
  return found->get<std::uint32_t>();
}

Status Compiler::add_type(const Place& place, const std::string& type, StateId start, StateId end) {
  if (type == "null") return grammar_.text(start, "null", end), Status();
  if (type == "boolean") return grammar_.text(start, "true", end), grammar_.text(start, "false", end), Status();
  if (type == "string") return add_string(place, start, end);
  if (type == "array") return add_array(place, start, end);
  if (type == "object") return add_object(place, start, end);
  return add_numeric(place, type == "integer", start, end);
}

void Compiler::add_space(StateId from, StateId to) {
  constexpr int kIndentMax = 32;
  if (!space_) {
    space_ = grammar_.add_rule();
    const auto start = grammar_.start_of(*space_), end = grammar_.add_state();
    grammar_.end_at(end);
    grammar_.free(start, {end});
    grammar_.bytes(start, ' ', ' ', end);
    const auto line = grammar_.add_state();
    grammar_.bytes(start, '\n', '\n', line);
    for (auto [at, i] = std::pair{line, 0}; i <= kIndentMax; ++i) {
      grammar_.free(at, {end});
      if (i == kIndentMax) break;
      const auto next = grammar_.add_state();
      grammar_.bytes(at, ' ', ' ', next);
      at = next;
    }
  }
  grammar_.call(from, *space_, to);
}

void Compiler::add_any_string(StateId from, StateId to) {
  const auto inside = grammar_.add_state();
  grammar_.bytes(from, '"', '"', inside);
  add_any_character(grammar_, inside, inside);
  grammar_.bytes(inside, '"', '"', to);
}

RuleId Compiler::any_value() {
  if (any_) return *any_;
  any_ = grammar_.add_rule();
  const auto start = grammar_.start_of(*any_), end = grammar_.add_state();
  grammar_.end_at(end);
  for (const char* word : {"null", "true", "false"}) grammar_.text(start, word, end);
  add_number(grammar_, start, {}, end);
  add_any_string(start, end);
  const auto array = grammar_.add_state(), item = grammar_.add_state(), after = grammar_.add_state(), next = grammar_.add_state(), close = grammar_.add_state();
  grammar_.bytes(start, '[', '[', array);
  add_space(array, item);
  grammar_.bytes(item, ']', ']', end);
  grammar_.call(item, *any_, after, Nesting::deeper);
  add_space(after, close);
  grammar_.bytes(close, ']', ']', end);
  grammar_.bytes(after, ',', ',', next);
  const auto again = grammar_.add_state();
  add_space(next, again);
  grammar_.call(again, *any_, after, Nesting::deeper);
  add_members({}, {any_}, start, end);
  return *any_;
}

}  // namespace redoubt::json_schema
