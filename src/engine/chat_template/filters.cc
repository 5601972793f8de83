// SPDX-License-Identifier: Apache-2.0
//
// Jinja's filters and tests that published templates use.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <utility>

#include "engine/chat_template/interpreter.h"
#include "engine/chat_template/list_filters.h"
#include "engine/chat_template/text_operations.h"

namespace redoubt::engine::chat_template {
namespace {

using Filter = Result<Value> (*)(const Value&, const Given&, Budget&);

Result<std::string> text_for(const char* doing, const Value& value, Budget& budget) {
  if (value.text()) return *value.text();
  if (value.is_callable() || value.space() || value.iterator()) return budget.bad(std::string(doing) + " a value of type " + value.type_name(), ErrorCode::unsupported);
  TRY(budget.spend(value.weight()));
  return to_text(value);
}

Result<Value> length_filter(const Value& value, const Given&, Budget& budget) {
  if (value.iterator()) return budget.bad("asks for the length of what a filter makes item by item; '| list' has one");
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

bool has_json(const Value& value) {
  if (value.list()) return std::ranges::all_of(*value.list(), has_json);
  if (value.dict()) return std::ranges::all_of(*value.dict(), [](const auto& member) { return has_json(member.second); });
  return !value.is_undefined() && !value.space() && !value.is_callable() && !value.iterator();
}

// tojson(ensure_ascii, indent, separators, sort_keys)
Result<Value> json_filter(const Value& value, const Given& given, Budget& budget) {
  static constexpr std::string_view kNames[] = {"ensure_ascii", "indent", "separators", "sort_keys"};
  for (const auto& [name, unused] : given.named)
    if (std::ranges::find(kNames, name) == std::end(kNames)) return budget.bad("gives tojson the argument '" + name + "'", ErrorCode::unsupported);
  TRY(budget.spend(value.weight()));
  if (!has_json(value)) return budget.bad("writes something as JSON that has no JSON");
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
    const auto joined = TRY(keyed_by(attribute, item, budget));
    TRY(check_written(joined, budget));
    auto part = (first || !separator ? "" : to_text(*separator)) + to_text(joined);
    TRY(budget.spend(part.size()));
    text += part;
    first = false;
  }
  return Value(std::move(text));
}

Result<Value> first_filter(const Value& value, const Given&, Budget& budget) {
  if (auto* iterator = value.iterator()) {
    if (iterator->items.empty()) return Value();
    auto first = std::move(iterator->items.back());
    iterator->items.pop_back();
    return first;
  }
  const auto items = TRY(items_of(value, budget));
  return items.empty() ? Value() : items.front();
}

Result<Value> last_filter(const Value& value, const Given&, Budget& budget) {
  if (value.iterator()) return budget.bad("asks for the last of what a filter makes item by item; '| list' has one");
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
  if (!value.text()) return value.iterator() ? Value::of(std::move(items)) : Value::iterator_of(std::move(items));
  std::string text;
  for (const auto& item : items) text += *item.text();
  return Value(std::move(text));
}

Result<Value> string_filter(const Value& value, const Given&, Budget& budget) {
  TRY(check_written(value, budget));
  auto text = to_text(value);
  TRY(budget.spend(text.size()));
  return Value(std::move(text));
}

// The digits of a number without a leading plus and the underscores that Python allows between digits; nothing for other uses of them.
std::optional<std::string> plain_digits(std::string_view text) {
  std::string out;
  if (text.starts_with('+')) text.remove_prefix(1);
  if (text.empty() || text.starts_with('+')) return std::nullopt;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto digit = [&](std::size_t at) { return at < text.size() && std::isalnum(static_cast<unsigned char>(text[at])) != 0; };
    if (text[i] == '_' && (i == 0 || !digit(i - 1) || !digit(i + 1))) return std::nullopt;
    if (text[i] != '_') out += text[i];
  }
  return out;
}

std::optional<double> real_of(std::string_view text) {
  const auto digits = plain_digits(strip(text, Sides::both));
  double real = 0;
  if (!digits) return std::nullopt;
  const auto [end, error] = std::from_chars(digits->data(), digits->data() + digits->size(), real);
  return error == std::errc{} && end == digits->data() + digits->size() ? std::optional(real) : std::nullopt;
}

// Python's int(text, base); a base of 0 is what the text's own prefix says.
Result<std::optional<std::int64_t>> whole_of(std::string_view text, std::int64_t base, Budget& budget) {
  static constexpr std::pair<std::string_view, std::int64_t> kPrefixes[] = {{"0x", 16}, {"0o", 8}, {"0b", 2}};
  if (base != 0 && (base < 2 || base > 36)) return budget.bad("reads a number in base " + std::to_string(base));
  auto digits = plain_digits(strip(text, Sides::both));
  if (!digits) return std::optional<std::int64_t>();
  const std::size_t sign = digits->starts_with('-') ? 1 : 0;
  const auto start = lower(std::string_view(*digits).substr(sign, 2));
  const auto own = base;
  for (const auto& [prefix, of] : kPrefixes)
    if (start == prefix && (own == 0 || own == of)) {
      digits->erase(sign, 2);
      base = of;
    }
  if (base == 0) {
    if (digits->size() > sign + 1 && (*digits)[sign] == '0' && digits->find_first_not_of('0', sign) != std::string::npos) return std::optional<std::int64_t>();
    base = 10;
  }
  std::int64_t whole = 0;
  const auto* limit = digits->data() + digits->size();
  const auto [end, error] = std::from_chars(digits->data(), limit, whole, static_cast<int>(base));
  if (error == std::errc::result_out_of_range && end == limit) return budget.bad("reads a number that is too large", ErrorCode::limit_exceeded);
  return error == std::errc{} && end == limit ? std::optional(whole) : std::nullopt;
}

Result<Value> int_filter(const Value& value, const Given& given, Budget& budget) {
  const auto *fallback = given.find(0, "default"), *base = given.find(1, "base");
  const Value otherwise = fallback ? *fallback : Value(std::int64_t{0});
  if (value.is_undefined()) return budget.bad("makes a number of something that is not defined");
  if (value.is_integer() || value.is_bool()) return Value(value.integer());
  std::optional<double> real;
  if (value.is_number()) real = value.number();
  if (value.text()) {
    if (const auto whole = TRY(whole_of(*value.text(), base && base->is_integer() ? base->integer() : 10, budget))) return Value(*whole);
    real = real_of(*value.text());
  }
  if (!real || !std::isfinite(*real)) return otherwise;
  if (std::fabs(*real) >= 9e18) return budget.bad("reads a number that is too large", ErrorCode::limit_exceeded);
  return Value(static_cast<std::int64_t>(*real));
}

Result<Value> float_filter(const Value& value, const Given& given, Budget& budget) {
  if (value.is_undefined()) return budget.bad("makes a number of something that is not defined");
  if (value.is_number()) return Value(value.number());
  const auto real = value.text() ? real_of(*value.text()) : std::nullopt;
  if (real) return Value(*real);
  const auto* fallback = given.find(0, "default");
  return fallback ? *fallback : Value(0.0);
}

Result<Value> abs_filter(const Value& value, const Given&, Budget& budget) {
  if (!value.is_number()) return budget.bad("takes the absolute value of something that is no number");
  if (!value.is_integer()) return Value(std::fabs(value.number()));
  if (value.integer() == INT64_MIN) return budget.bad("computes a number that is too large", ErrorCode::limit_exceeded);
  return Value(std::abs(value.integer()));
}

Result<Value> items_filter(const Value& value, const Given&, Budget& budget) {
  List pairs;
  if (value.is_undefined()) return Value::iterator_of(std::move(pairs));
  if (!value.dict()) return budget.bad("takes the items of something that is no mapping");
  for (const auto& [key, item] : *value.dict()) pairs.push_back(Value::tuple_of(List{Value(key), item}));
  TRY(budget.spend(pairs.size() * 4 * sizeof(Value)));
  return Value::iterator_of(std::move(pairs));
}

Result<Value> safe_filter(const Value& value, const Given&, Budget& budget) { return Value::marked(TRY(text_for("marks", value, budget))); }

Result<Value> escape_filter(const Value& value, const Given&, Budget& budget) {
  TRY(text_for("escapes", value, budget));
  auto text = escape(value);
  TRY(budget.spend(text.size()));
  return Value::marked(std::move(text));
}

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
  if (value.is_undefined()) return budget.bad("indents something that is not defined");
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

// Jinja's map, select and their like walk over nothing where there is none, 0 or false.
Result<List> items_if_true(const Value& value, Budget& budget) { return value.truth() ? items_of(value, budget) : Result<List>(List()); }

Result<Value> map_filter(const Value& value, const Given& given, Budget& budget) {
  List out;
  const auto *attribute = given.positional.empty() ? find_member(given.named, "attribute") : nullptr, *fallback = find_member(given.named, "default");
  if (!attribute && (given.positional.empty() || !given.positional[0].text())) return budget.bad("calls map without a filter's name");
  Given rest;
  if (!attribute) rest = {.positional = List(given.positional.begin() + 1, given.positional.end()), .named = given.named};
  for (const auto& item : TRY(items_if_true(value, budget))) {
    TRY(budget.spend(sizeof(Value)));
    if (!attribute) {
      out.push_back(TRY(apply_filter(*given.positional[0].text(), item, rest, budget)));
      continue;
    }
    auto member = TRY(keyed_by(attribute, item, budget));
    out.push_back(member.is_undefined() && fallback ? *fallback : std::move(member));
  }
  return Value::iterator_of(std::move(out));
}

enum class Keep { passing, failing };

// select, reject (what is tested is the item), selectattr and rejectattr (a member of it).
Result<Value> choose(const Value& value, const Given& given, Budget& budget, Keep keep, std::size_t skip) {
  if (given.positional.size() < skip || (skip && !given.positional[0].text() && !given.positional[0].is_integer())) return budget.bad("chooses by an attribute without a name");
  const bool by_truth = given.positional.size() == skip;
  if (!by_truth && !given.positional[skip].text()) return budget.bad("chooses by a test without a name");
  Given rest{.positional = {}, .named = given.named};
  if (!by_truth) rest.positional.assign(given.positional.begin() + static_cast<std::ptrdiff_t>(skip) + 1, given.positional.end());
  List out;
  for (const auto& item : TRY(items_if_true(value, budget))) {
    const auto tested = TRY(keyed_by(skip ? &given.positional[0] : nullptr, item, budget));
    const bool passes = by_truth ? tested.truth() : TRY(apply_test(*given.positional[skip].text(), tested, rest, budget));
    if (passes == (keep == Keep::passing)) out.push_back(item);
  }
  return Value::iterator_of(std::move(out));
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
      {"e", escape_filter},
      {"escape", escape_filter},
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
  auto made = TRY(found->second(value, given, budget));
  static constexpr std::string_view kKeepMark[] = {"capitalize", "indent", "lower", "reverse", "string", "trim", "upper"};
  if (value.is_marked() && made.text() && std::ranges::find(kKeepMark, name) != std::end(kKeepMark)) return Value::marked(*made.text());
  return made;
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
  if (name == "sequence" || name == "iterable")
    return value.list() || value.dict() || value.text() || value.is_undefined() || (value.iterator() && name == "iterable");
  if (name == "escaped") return value.is_marked();
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
  static constexpr std::pair<std::string_view, const char*> kOrders[] = {{"lt", "<"}, {"lessthan", "<"}, {"le", "<="}, {"gt", ">"}, {"greaterthan", ">"},
                                                                      {"ge", ">="}, {"<", "<"}, {"<=", "<="}, {">", ">"}, {">=", ">="}};
  for (const auto& [order, sign] : kOrders)
    if (other && name == order) return TRY(apply_binary(sign, value, *other, budget)).truth();
  if (other && name == "in") return contains(*other, value, budget);
  return budget.bad("uses the test '" + name + "', which is not supported", ErrorCode::unsupported);
}

}  // namespace redoubt::engine::chat_template
