// SPDX-License-Identifier: Apache-2.0
//
// Methods of strings, dicts and lists. There is no other way to reach anything by a name.
#include "engine/chat_template/interpreter.h"
#include "engine/chat_template/text_operations.h"

namespace redoubt::engine::chat_template {
namespace {

List to_list(std::vector<std::string> parts) {
  List list;
  for (auto& part : parts) list.emplace_back(std::move(part));
  return list;
}

Result<bool> begins_or_ends(const std::string& text, const Value& with, bool begins, Budget& budget) {
  if (with.text()) return begins ? text.starts_with(*with.text()) : text.ends_with(*with.text());
  if (with.list())
    for (const auto& one : *with.list())
      if (one.text() && (begins ? text.starts_with(*one.text()) : text.ends_with(*one.text()))) return true;
  if (with.list()) return false;
  return budget.bad("looks at the start or end of a string for something that is no string");
}

Result<Value> split_method(const std::string& text, const Given& given, Budget& budget) {
  const auto *separator = given.find(0, "sep"), *count = given.find(1, "maxsplit");
  std::optional<std::string_view> at;
  if (separator && separator->text()) at = *separator->text();
  if (at && at->empty()) return budget.bad("splits at an empty string");
  auto list = to_list(split(text, at, count && count->is_integer() ? count->integer() : -1));
  TRY(budget.spend(text.size() + list.size() * sizeof(Value)));
  return Value::of(std::move(list));
}

Result<Value> text_method(const std::string& text, const std::string& name, const Given& given, Budget& budget) {
  const auto* first = given.find(0, "chars");
  const bool strips = name == "strip" || name == "lstrip" || name == "rstrip";
  TRY(budget.spend(text.size()));
  if (strips) {
    const auto sides = name == "strip" ? Sides::both : name == "lstrip" ? Sides::left : Sides::right;
    const auto characters = first && first->text() ? std::optional<std::string_view>(*first->text()) : std::nullopt;
    return Value(std::string(strip(text, sides, characters)));
  }
  if (name == "split") return split_method(text, given, budget);
  if (name == "splitlines") return Value::of(to_list(split_lines(text)));
  if (name == "upper") return Value(upper(text));
  if (name == "lower") return Value(lower(text));
  if (name == "capitalize") return Value(capitalize(text));
  if (name == "title") return apply_filter("title", Value(text), {}, budget);
  if (name == "replace") return apply_filter("replace", Value(text), given, budget);
  if ((name == "startswith" || name == "endswith") && first)
    return Value(TRY(begins_or_ends(text, *first, name == "startswith", budget)));
  if (name == "join" && first) return apply_filter("join", *first, {.positional = {Value(text)}, .named = {}}, budget);
  if (name == "count" && first && first->text() && !first->text()->empty()) {
    std::int64_t count = 0;
    for (auto at = text.find(*first->text()); at != std::string::npos; at = text.find(*first->text(), at + first->text()->size())) ++count;
    return Value(count);
  }
  if (name == "find" && first && first->text()) {
    const auto at = text.find(*first->text());
    return Value(at == std::string::npos ? std::int64_t{-1} : static_cast<std::int64_t>(length_of(std::string_view(text).substr(0, at))));
  }
  return budget.bad("calls the string method '" + name + "', which is not supported", ErrorCode::unsupported);
}

Result<Value> dict_method(const Value& of, const Dict& dict, const std::string& name, const Given& given, Budget& budget) {
  if (name == "items") return apply_filter("items", of, {}, budget);
  if (name == "keys") return Value::of(TRY(items_of(of, budget)));
  if (name == "values") {
    List values;
    for (const auto& [key, value] : dict) values.push_back(value);
    return Value::of(std::move(values));
  }
  if (name == "get" && !given.positional.empty()) {
    const auto* key = given.positional[0].text();
    const auto* found = key ? find_member(dict, *key) : nullptr;
    if (found) return *found;
    return given.positional.size() > 1 ? given.positional[1] : Value(None{});
  }
  return budget.bad("calls the dict method '" + name + "', which is not supported", ErrorCode::unsupported);
}

}  // namespace

Result<Value> call_method(const Value& value, const std::string& name, const Given& given, Budget& budget) {
  if (value.text()) return text_method(*value.text(), name, given, budget);
  if (value.dict()) return dict_method(value, *value.dict(), name, given, budget);
  return budget.bad("calls '" + name + "' of a value of type " + value.type_name(), ErrorCode::unsupported);
}

}  // namespace redoubt::engine::chat_template
