// SPDX-License-Identifier: Apache-2.0
//
// Strings, numbers, arrays and objects.
#include <algorithm>

#include "json_schema/code_points.h"
#include "json_schema/compiler.h"
#include "json_schema/formats.h"
#include "json_schema/pattern.h"

namespace redoubt::json_schema {

// What pattern and format leave of all strings; nothing where neither is given.
Result<std::optional<CodePointDfa>> Compiler::narrowed(const Place& place) {
  std::optional<CodePointDfa> content;
  for (const char* key : {"pattern", "format"}) {
    const auto given = place.schema->find(key);
    if (given == place.schema->end()) continue;
    if (!given->is_string()) return wrong_schema(place, std::string(key) + " must be a string");
    const auto text = given->get<std::string>();
    const auto pattern = key == std::string_view("format") ? pattern_of_format(text) : std::optional(text);
    if (!pattern) return unsupported_schema(place, "the 'format' '" + text.substr(0, 64) + "'");
    auto compiled = compile_pattern(*pattern, pattern_work_);
    if (compiled && content) compiled = both(*content, *compiled, limits_.length_nodes_max);
    if (!compiled) return fail(compiled.error().code, compiled.error().message, place.pointer);
    content = std::move(*compiled);
  }
  return content;
}

Status Compiler::add_string(const Place& place, StateId start, StateId end) {
  const auto least = TRY(count(place, "minLength", 0)), most = TRY(count(place, "maxLength", kUnbounded));
  if (least > most) return wrong_schema(place, "minLength is more than maxLength");
  if (auto content = TRY(narrowed(place))) {
    auto compiled = least > 0 || most != kUnbounded ? with_length(*content, least, most, limits_.length_nodes_max) : Result<CodePointDfa>(std::move(*content));
    if (!compiled) return fail(compiled.error().code, compiled.error().message, place.pointer);
    if (compiled->is_empty()) return wrong_schema(place, "no string fits the pattern and its lengths");
    const auto inside = grammar_.add_state(), done = grammar_.add_state();
    grammar_.bytes(start, '"', '"', inside);
    add_dfa(grammar_, inside, *compiled, done);
    grammar_.bytes(done, '"', '"', end);
    return {};
  }
  if (least == 0 && most == kUnbounded) return add_any_string(start, end), Status();
  // The count of characters is the call's.
  const auto rule = grammar_.add_rule();
  const auto done = grammar_.add_state(), inside = grammar_.add_state(), character = grammar_.add_state(), close = grammar_.add_state();
  grammar_.end_at(done);
  grammar_.bytes(grammar_.start_of(rule), '"', '"', inside);
  if (most > 0) grammar_.free(inside, {character, 0, most == kUnbounded ? most : most - 1, 1, most == kUnbounded ? least : most});
  add_any_character(grammar_, character, inside);
  grammar_.free(inside, {close, least});
  grammar_.bytes(close, '"', '"', done);
  grammar_.call(start, rule, end);
  return {};
}

Status Compiler::add_numeric(const Place& place, bool integer, StateId start, StateId end) {
  NumberBounds bounds;
  const auto read = [&](const char* key) -> Result<std::optional<Json>> {
    const auto found = place.schema->find(key);
    if (found == place.schema->end()) return std::optional<Json>();
    if (!found->is_number()) return wrong_schema(place, std::string(key) + " must be a number");
    return std::optional(Json::parse(found->dump()));
  };
  bounds.least = TRY(read("minimum"));
  bounds.most = TRY(read("maximum"));
  if (const auto above = TRY(read("exclusiveMinimum")); above && (!bounds.least || *above >= *bounds.least)) bounds.least = *above, bounds.least_excluded = true;
  if (const auto below = TRY(read("exclusiveMaximum")); below && (!bounds.most || *below <= *bounds.most)) bounds.most = *below, bounds.most_excluded = true;
  integer ? add_integer(grammar_, start, bounds, end) : add_number(grammar_, start, bounds, end);
  return {};
}

Status Compiler::add_array(const Place& place, StateId start, StateId end) {
  const auto least = TRY(count(place, "minItems", 0));
  auto most = TRY(count(place, "maxItems", kUnbounded));
  if (const auto unique = place.schema->find("uniqueItems"); unique != place.schema->end() && *unique != false) return unsupported_schema(place, "uniqueItems");
  RuleId item = 0;
  if (const auto items = place.schema->find("items"); items == place.schema->end()) item = any_value();
  else if (*items == false) most = 0;
  else item = TRY(rule_of(place.at("items")));
  if (least > most) return wrong_schema(place, "minItems is more than there may be");
  // The count of items is the call's. The first item stands apart, so that an array that needs one is not begun too deep for it.
  const auto rule = grammar_.add_rule();
  const auto done = grammar_.add_state(), open = grammar_.add_state(), first = grammar_.add_state(), after = grammar_.add_state(), close = grammar_.add_state(),
             last = grammar_.add_state();
  grammar_.end_at(done);
  grammar_.bytes(grammar_.start_of(rule), '[', '[', open);
  add_space(open, first);
  if (least == 0) grammar_.bytes(first, ']', ']', done);
  grammar_.call(start, rule, end);
  if (most == 0) return {};
  const std::uint32_t cap = most == kUnbounded ? least : most;
  const auto begin = grammar_.add_state(), comma = grammar_.add_state(), next = grammar_.add_state();
  grammar_.free(first, {begin, 0, kUnbounded, 1, cap});
  grammar_.call(begin, item, after, Nesting::deeper);
  grammar_.free(after, {close, least});
  add_space(close, last);
  grammar_.bytes(last, ']', ']', done);
  if (most == 1) return {};
  grammar_.free(after, {comma, 0, most == kUnbounded ? most : most - 1, 1, cap});
  const auto spaced = grammar_.add_state();
  grammar_.bytes(comma, ',', ',', next);
  add_space(next, spaced);
  grammar_.call(spaced, item, after, Nesting::deeper);
  return {};
}

Result<Compiler::Additional> Compiler::additional_of(const Place& place, bool names_properties) {
  const auto found = place.schema->find("additionalProperties");
  if (found == place.schema->end()) return names_properties ? Additional{} : Additional{any_value()};
  if (*found == false) return Additional{};
  return Additional{TRY(rule_of(place.at("additionalProperties")))};
}

Result<std::vector<Compiler::Property>> Compiler::properties_of(const Place& place, const Additional& additional) {
  std::vector<Property> out;
  std::set<std::string> required;
  if (const auto list = place.schema->find("required"); list != place.schema->end()) {
    if (!list->is_array()) return wrong_schema(place, "required must be a list of names");
    for (const auto& name : *list) {
      if (!name.is_string()) return wrong_schema(place, "required must be a list of names");
      required.insert(name.get<std::string>());
    }
  }
  if (place.schema->contains("properties")) {
    const auto properties = place.at("properties");
    if (!properties.schema->is_object()) return wrong_schema(place, "properties must be an object");
    for (const auto& [name, schema] : properties.schema->items()) {
      const bool needed = required.erase(name) > 0;
      if (schema == false && !needed) {
        // It may not come; as an additional property it still could.
        if (additional.value) return unsupported_schema(properties.at(name), "the schema false beside additional properties");
        continue;
      }
      out.push_back({name, TRY(rule_of(properties.at(name))), needed});
    }
  }
  const bool closed = place.schema->contains("additionalProperties") && !additional.value;
  if (!required.empty() && closed) return wrong_schema(place, "required names a property that may not come: " + required.begin()->substr(0, 100));
  for (const auto& name : required) out.push_back({name, additional.value ? *additional.value : any_value(), true});
  return out;
}

// States by property i: `begin` where it may be written, `after` where those before it are behind us and some were written.
void Compiler::add_members(const std::vector<Property>& properties, const Additional& additional, StateId start, StateId end) {
  const auto n = properties.size();
  std::vector<StateId> begin, after;
  for (std::size_t i = 0; i <= n; ++i) begin.push_back(grammar_.add_state()), after.push_back(grammar_.add_state());
  std::size_t required_end = 0;  // behind the last required property
  for (std::size_t i = 0; i < n; ++i)
    if (properties[i].required) required_end = i + 1;
  const auto open = grammar_.add_state(), first = grammar_.add_state(), close = grammar_.add_state(), last = grammar_.add_state();
  grammar_.bytes(start, '{', '{', open);
  add_space(open, first);
  grammar_.free(first, {begin[0]});
  if (required_end == 0) grammar_.bytes(first, '}', '}', end);
  add_space(close, last);
  grammar_.bytes(last, '}', '}', end);
  const auto value = [&](StateId key_end, RuleId rule, StateId to) {
    const auto colon = grammar_.add_state(), spaced = grammar_.add_state();
    grammar_.bytes(key_end, ':', ':', colon);
    add_space(colon, spaced);
    grammar_.call(spaced, rule, to, Nesting::deeper);
  };
  for (std::size_t i = 0; i <= n; ++i) {
    const bool more = i < n || additional.value;
    if (i >= required_end) grammar_.free(after[i], {close});
    if (!more) continue;
    const auto comma = grammar_.add_state();
    grammar_.bytes(after[i], ',', ',', comma);
    add_space(comma, begin[i]);
    if (i == n) break;
    const auto key_end = grammar_.add_state();
    grammar_.text(begin[i], Json(properties[i].name).dump(), key_end);
    value(key_end, properties[i].value, after[i + 1]);
    if (!properties[i].required && (i + 1 < n || additional.value)) grammar_.free(begin[i], {begin[i + 1]});
  }
  if (!additional.value) return;
  std::vector<std::string> names;
  for (const auto& property : properties) names.push_back(property.name);
  const auto key = grammar_.add_state(), key_done = grammar_.add_state(), key_end = grammar_.add_state();
  grammar_.bytes(begin[n], '"', '"', key);
  if (names.empty()) {
    add_any_character(grammar_, key, key);
    grammar_.free(key, {key_done});
  } else {
    add_dfa(grammar_, key, all_but(names), key_done);
  }
  grammar_.bytes(key_done, '"', '"', key_end);
  value(key_end, *additional.value, after[n]);
}

Status Compiler::add_object(const Place& place, StateId start, StateId end) {
  const bool names_properties = place.schema->contains("properties") && place.schema->at("properties").is_object() && !place.schema->at("properties").empty();
  const auto additional = TRY(additional_of(place, names_properties));
  add_members(TRY(properties_of(place, additional)), additional, start, end);
  return {};
}

}  // namespace redoubt::json_schema
