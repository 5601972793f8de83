// SPDX-License-Identifier: Apache-2.0
//
// Jinja's filters and tests that published templates use.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

#include "engine/chat_template/interpreter.h"
#include "engine/chat_template/list_filters.h"
#include "engine/chat_template/text_operations.h"

namespace redoubt::engine::chat_template {
namespace {

using Filter = Result<Value> (*)(const Value&, const Given&, Budget&);

Result<std::string> text_for(const char* doing, const Value& value, Budget& budget) {
  if (value.text()) return *value.text();
  if (value.is_callable() || value.space()) return budget.bad(std::string(doing) + " a value of type " + value.type_name(), ErrorCode::unsupported);
  TRY(budget.spend(value.weight()));
  return to_text(value);
}

Result<Value> length_filter(const Value& value, const Given&, Budget& budget) {
  if (value.text()) return Value(static_cast<std::int64_t>(length_of(*value.text())));
  return Value(static_cast<std::int64_t>(TRY(items_of(value, budget)).size()));
}

Result<Value> trim_filter(const Value& value, const Given& given, Budget& budget) {
  const auto text = TRY(text_for("trims", value, budget));
  const auto* characters = given.find(0, "chars");
  if (characters && characters->text()) return Value(std::string(strip(text, Sides::both, *characters->text())));
  return Value(std::string(strip(text, Sides::both)));
}

template <std::string (*change)(std::string_view)>
Result<Value> text_filter(const Value& value, const Given&, Budget& budget) {
  auto text = change(TRY(text_for("changes the case of", value, budget)));
  TRY(budget.spend(text.size()));
  return Value(std::move(text));
}

// tojson(ensure_ascii, indent, separators, sort_keys)
Result<Value> json_filter(const Value& value, const Given& given, Budget& budget) {
  static constexpr std::string_view kNames[] = {"ensure_ascii", "indent", "separators", "sort_keys"};
  for (const auto& [name, unused] : given.named)
    if (std::ranges::find(kNames, name) == std::end(kNames)) return budget.bad("gives tojson the argument '" + name + "'", ErrorCode::unsupported);
  if (value.is_undefined() || value.space() || value.is_callable()) return budget.bad("writes something as JSON that has no JSON");
  JsonStyle style;
  const auto *ascii = given.find(0, "ensure_ascii"), *indent = given.find(1, "indent"), *separators = given.find(2, "separators"), *sorts = given.find(3, "sort_keys");
  style.ascii = ascii && ascii->truth();
  style.sorts_keys = sorts && sorts->truth();
  if (indent && indent->is_integer()) style.indent = static_cast<int>(std::clamp<std::int64_t>(indent->integer(), 0, 16));
  else if (indent && !indent->is_none()) return budget.bad("indents JSON by something that is no whole number", ErrorCode::unsupported);
  if (separators && !separators->is_none()) {
    if (!separators->list() || separators->list()->size() != 2 || !(*separators->list())[0].text() || !(*separators->list())[1].text() || (*separators->list())[0].text()->empty())
      return budget.bad("gives tojson separators that are not two texts", ErrorCode::unsupported);
    style.between_items = *(*separators->list())[0].text();
    style.after_key = *(*separators->list())[1].text();
  }
  TRY(budget.spend(value.weight() * (style.indent >= 0 ? static_cast<std::size_t>(style.indent) + 1 : 1)));
  auto text = to_json(value, style);
  TRY(budget.spend(text.size()));
  return Value(std::move(text));
}

Result<Value> replace_filter(const Value& value, const Given& given, Budget& budget) {
  const auto *from = given.find(0, "old"), *to = given.find(1, "new"), *count = given.find(2, "count");
  if (!from || !to || !from->text() || !to->text()) return budget.bad("calls replace without two strings");
  auto text = TRY(text_for("replaces in", value, budget));
  const auto grown = text.size() + (text.size() / std::max<std::size_t>(1, from->text()->size()) + 1) * to->text()->size();
  TRY(budget.spend(grown));
  return Value(replace(text, *from->text(), *to->text(), count && count->is_integer() ? count->integer() : -1));
}

Result<Value> join_filter(const Value& value, const Given& given, Budget& budget) {
  const auto *separator = given.find(0, "d"), *attribute = given.find(1, "attribute");
  std::string text;
  bool first = true;
  for (const auto& item : TRY(items_of(value, budget))) {
    const auto joined = attribute && attribute->text() ? TRY(attribute_of(item, *attribute->text(), budget)) : item;
    auto part = (first || !separator ? "" : to_text(*separator)) + to_text(joined);
    TRY(budget.spend(part.size()));
    text += part;
    first = false;
  }
  return Value(std::move(text));
}

Result<Value> first_filter(const Value& value, const Given&, Budget& budget) {
  const auto items = TRY(items_of(value, budget));
  return items.empty() ? Value() : items.front();
}

Result<Value> last_filter(const Value& value, const Given&, Budget& budget) {
  const auto items = TRY(items_of(value, budget));
  return items.empty() ? Value() : items.back();
}

Result<Value> default_filter(const Value& value, const Given& given, Budget&) {
  const auto *fallback = given.find(0, "default_value"), *also_false = given.find(1, "boolean");
  const bool replaced = value.is_undefined() || (also_false && also_false->truth() && !value.truth());
  return replaced ? (fallback ? *fallback : Value(std::string())) : value;
}

Result<Value> list_filter(const Value& value, const Given&, Budget& budget) { return Value::of(TRY(items_of(value, budget))); }

Result<Value> reverse_filter(const Value& value, const Given&, Budget& budget) {
  auto items = TRY(items_of(value, budget));
  std::ranges::reverse(items);
  if (!value.text()) return Value::of(std::move(items));
  std::string text;
  for (const auto& item : items) text += *item.text();
  return Value(std::move(text));
}

Result<Value> string_filter(const Value& value, const Given&, Budget& budget) {
  auto text = to_text(value);
  TRY(budget.spend(text.size()));
  return Value(std::move(text));
}

Result<Value> int_filter(const Value& value, const Given& given, Budget&) {
  const auto* fallback = given.find(0, "default");
  const Value otherwise = fallback ? *fallback : Value(std::int64_t{0});
  if (value.is_integer() || value.is_bool()) return Value(value.integer());
  double real = value.is_number() ? value.number() : 0;
  if (value.text()) {
    const auto text = strip(*value.text(), Sides::both);
    std::int64_t whole = 0;
    if (const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), whole); error == std::errc{} && end == text.data() + text.size())
      return Value(whole);
    if (const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), real); error != std::errc{} || end != text.data() + text.size())
      return otherwise;
  } else if (!value.is_number()) {
    return otherwise;
  }
  return std::fabs(real) < 9e18 ? Value(static_cast<std::int64_t>(real)) : otherwise;
}

Result<Value> float_filter(const Value& value, const Given& given, Budget&) {
  if (value.is_number()) return Value(value.number());
  const auto* fallback = given.find(0, "default");
  const Value otherwise = fallback ? *fallback : Value(0.0);
  if (!value.text()) return otherwise;
  const auto text = strip(*value.text(), Sides::both);
  double real = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), real);
  return error == std::errc{} && end == text.data() + text.size() ? Value(real) : otherwise;
}

Result<Value> abs_filter(const Value& value, const Given&, Budget& budget) {
  if (!value.is_number()) return budget.bad("takes the absolute value of something that is no number");
  if (!value.is_integer()) return Value(std::fabs(value.number()));
  if (value.integer() == INT64_MIN) return budget.bad("computes a number that is too large", ErrorCode::limit_exceeded);
  return Value(std::abs(value.integer()));
}

Result<Value> items_filter(const Value& value, const Given&, Budget& budget) {
  List pairs;
  if (value.is_undefined()) return Value::of(std::move(pairs));
  if (!value.dict()) return budget.bad("takes the items of something that is no mapping");
  for (const auto& [key, item] : *value.dict()) pairs.push_back(Value::tuple_of(List{Value(key), item}));
  TRY(budget.spend(pairs.size() * 4 * sizeof(Value)));
  return Value::of(std::move(pairs));
}

// Only the outermost filter of an output, which the interpreter takes away, may mark a text as safe.
Result<Value> safe_filter(const Value&, const Given&, Budget& budget) { return budget.bad("uses the filter 'safe' inside an expression", ErrorCode::unsupported); }

Result<Value> wordcount_filter(const Value& value, const Given&, Budget& budget) {
  std::int64_t count = 0;
  bool inside = false;
  for (const auto point : code_points(TRY(text_for("counts the words of", value, budget)))) {
    const bool word = is_word(point);
    count += word && !inside;
    inside = word;
  }
  return Value(count);
}

// Jinja's indent: every line but the first and empty ones moves right.
Result<Value> indent_filter(const Value& value, const Given& given, Budget& budget) {
  const auto *width = given.find(0, "width"), *first = given.find(1, "first"), *blank = given.find(2, "blank");
  std::string space(width && width->is_integer() ? static_cast<std::size_t>(std::clamp<std::int64_t>(width->integer(), 0, 64)) : 4, ' ');
  if (width && width->text()) space = *width->text();
  std::string out;
  bool start = true;
  for (const auto& line : split_lines(TRY(text_for("indents", value, budget)) + "\n")) {
    TRY(budget.spend(line.size() + space.size()));
    if (!start) out += '\n';
    const bool moves = start ? first && first->truth() : !line.empty() || (blank && blank->truth());
    out += (moves ? space : "") + line;
    start = false;
  }
  return Value(std::move(out));
}

Result<Value> map_filter(const Value& value, const Given& given, Budget& budget) {
  List out;
  const auto *attribute = find_member(given.named, "attribute"), *fallback = find_member(given.named, "default");
  if (!attribute && (given.positional.empty() || !given.positional[0].text())) return budget.bad("calls map without a filter's name");
  Given rest;
  if (!attribute) rest.positional.assign(given.positional.begin() + 1, given.positional.end());
  for (const auto& item : TRY(items_of(value, budget))) {
    TRY(budget.spend(sizeof(Value)));
    if (!attribute) {
      out.push_back(TRY(apply_filter(*given.positional[0].text(), item, rest, budget)));
      continue;
    }
    auto member = attribute->text() ? TRY(attribute_of(item, *attribute->text(), budget)) : Value();
    out.push_back(member.is_undefined() && fallback ? *fallback : std::move(member));
  }
  return Value::of(std::move(out));
}

enum class Keep { passing, failing };

// select, reject (what is tested is the item), selectattr and rejectattr (a member of it).
Result<Value> choose(const Value& value, const Given& given, Budget& budget, Keep keep, std::size_t skip) {
  if (given.positional.size() < skip || (skip && !given.positional[0].text())) return budget.bad("chooses by an attribute without a name");
  const bool by_truth = given.positional.size() == skip;
  if (!by_truth && !given.positional[skip].text()) return budget.bad("chooses by a test without a name");
  Given rest;
  if (!by_truth) rest.positional.assign(given.positional.begin() + static_cast<std::ptrdiff_t>(skip) + 1, given.positional.end());
  List out;
  for (const auto& item : TRY(items_of(value, budget))) {
    Value tested = item;
    if (skip) tested = TRY(attribute_of(item, *given.positional[0].text(), budget));
    const bool passes = by_truth ? tested.truth() : TRY(apply_test(*given.positional[skip].text(), tested, rest, budget));
    if (passes == (keep == Keep::passing)) out.push_back(item);
  }
  return Value::of(std::move(out));
}

const std::map<std::string, Filter, std::less<>>& filters() {
  static const std::map<std::string, Filter, std::less<>> kFilters = {
      {"abs", abs_filter},
      {"batch", batch_filter},
      {"capitalize", text_filter<capitalize>},
      {"count", length_filter},
      {"d", default_filter},
      {"default", default_filter},
      {"dictsort", dictsort_filter},
      {"first", first_filter},
      {"float", float_filter},
      {"indent", indent_filter},
      {"int", int_filter},
      {"items", items_filter},
      {"join", join_filter},
      {"last", last_filter},
      {"length", length_filter},
      {"list", list_filter},
      {"lower", text_filter<lower>},
      {"map", map_filter},
      {"max", max_filter},
      {"min", min_filter},
      {"reject", [](const Value& v, const Given& g, Budget& b) { return choose(v, g, b, Keep::failing, 0); }},
      {"rejectattr", [](const Value& v, const Given& g, Budget& b) { return choose(v, g, b, Keep::failing, 1); }},
      {"replace", replace_filter},
      {"reverse", reverse_filter},
      {"safe", safe_filter},
      {"select", [](const Value& v, const Given& g, Budget& b) { return choose(v, g, b, Keep::passing, 0); }},
      {"selectattr", [](const Value& v, const Given& g, Budget& b) { return choose(v, g, b, Keep::passing, 1); }},
      {"sort", sort_filter},
      {"string", string_filter},
      {"sum", sum_filter},
      {"title", text_filter<title>},
      {"tojson", json_filter},
      {"trim", trim_filter},
      {"unique", unique_filter},
      {"upper", text_filter<upper>},
      {"wordcount", wordcount_filter},
  };
  return kFilters;
}

Result<bool> number_test(const std::string& name, const Value& value, const Given& given, Budget& budget) {
  if (!value.is_integer()) return budget.bad("tests something for " + name + " that is no whole number");
  if (name == "odd") return value.integer() % 2 != 0;
  if (name == "even") return value.integer() % 2 == 0;
  const auto* by = given.find(0, "num");
  if (!by || !by->is_integer() || by->integer() == 0 || by->integer() == -1) return budget.bad("tests for divisibleby a bad number");
  return value.integer() % by->integer() == 0;
}

}  // namespace

Result<Value> apply_filter(const std::string& name, const Value& value, const Given& given, Budget& budget) {
  const auto found = filters().find(name);
  if (found == filters().end()) return budget.bad("uses the filter '" + name + "', which is not supported", ErrorCode::unsupported);
  TRY(budget.spend(1));
  return found->second(value, given, budget);
}

Result<bool> apply_test(const std::string& name, const Value& value, const Given& given, Budget& budget) {
  if (name == "defined") return !value.is_undefined();
  if (name == "undefined") return value.is_undefined();
  if (name == "none") return value.is_none();
  if (name == "string") return value.text() != nullptr;
  if (name == "number") return value.is_number();
  if (name == "integer") return value.is_integer();
  if (name == "float") return value.is_number() && !value.is_integer() && !value.is_bool();
  if (name == "boolean") return value.is_bool();
  if (name == "true") return value.is_bool() && value.truth();
  if (name == "false") return value.is_bool() && !value.truth();
  if (name == "mapping") return value.dict() != nullptr;
  if (name == "sequence" || name == "iterable") return value.list() || value.dict() || value.text() || value.is_undefined();
  if (name == "callable") return value.is_callable();
  if (name == "filter") return value.text() && filters().contains(*value.text());
  if (name == "upper" || name == "lower") return is_cased(to_text(value), name == "upper");
  if (name == "odd" || name == "even" || name == "divisibleby") return number_test(name, value, given, budget);
  const auto* other = given.find(0, "other");
  if (other && (name == "equalto" || name == "eq" || name == "==")) return equal(value, *other);
  if (other && (name == "ne" || name == "!=")) return !equal(value, *other);
  // Only what Python has once can be told to be the same by its value.
  if (other && name == "sameas" && (value.is_bool() || value.is_none() || other->is_bool() || other->is_none()))
    return value.is_bool() == other->is_bool() && equal(value, *other);
  static constexpr std::pair<std::string_view, const char*> kOrders[] = {{"lt", "<"}, {"lessthan", "<"}, {"le", "<="}, {"gt", ">"}, {"greaterthan", ">"}, {"ge", ">="}};
  for (const auto& [order, sign] : kOrders)
    if (other && name == order) return TRY(apply_binary(sign, value, *other, budget)).truth();
  if (other && name == "in") return contains(*other, value, budget);
  return budget.bad("uses the test '" + name + "', which is not supported", ErrorCode::unsupported);
}

}  // namespace redoubt::engine::chat_template
