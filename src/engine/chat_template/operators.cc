// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <ctime>
#include <utility>

#include "engine/chat_template/interpreter.h"
#include "engine/chat_template/text_operations.h"

namespace redoubt::engine::chat_template {
namespace {

constexpr std::int64_t kRangeMax = 100'000;

Result<Value> whole_arithmetic(char name, std::int64_t a, std::int64_t b, Budget& budget) {
  std::int64_t out = 0;
  const bool overflow = name == '+'   ? __builtin_add_overflow(a, b, &out)
                        : name == '-' ? __builtin_sub_overflow(a, b, &out)
                        : name == '*' ? __builtin_mul_overflow(a, b, &out)
                                      : false;
  if (overflow) return budget.bad("computes a number that is too large", ErrorCode::limit_exceeded);
  return Value(out);
}

// Python's // and % round towards minus infinity.
Result<Value> whole_division(const std::string& name, std::int64_t a, std::int64_t b, Budget& budget) {
  if (b == 0) return budget.bad("divides by zero");
  if (b == -1) return name == "//" ? whole_arithmetic('-', 0, a, budget) : Result<Value>(Value(std::int64_t{0}));
  const bool down = a % b != 0 && (a % b < 0) != (b < 0);
  return name == "//" ? Value(a / b - (down ? 1 : 0)) : Value(a % b + (down ? b : 0));
}

Result<Value> arithmetic(const std::string& name, const Value& left, const Value& right, Budget& budget) {
  const bool whole = !left.is_undefined() && (left.is_integer() || left.is_bool()) && (right.is_integer() || right.is_bool());
  if (whole && (name == "//" || name == "%")) return whole_division(name, left.integer(), right.integer(), budget);
  if (whole && name != "/") return whole_arithmetic(name[0], left.integer(), right.integer(), budget);
  const double a = left.number(), b = right.number();
  if (name == "+") return Value(a + b);
  if (name == "-") return Value(a - b);
  if (name == "*") return Value(a * b);
  if (b == 0) return budget.bad("divides by zero");
  if (name == "/") return Value(a / b);
  return name == "//" ? Value(std::floor(a / b)) : Value(a - std::floor(a / b) * b);
}

Result<bool> compare(const std::string& name, const Value& left, const Value& right, Budget& budget);

// Lists and tuples are ordered by their first items that differ.
Result<bool> compare_lists(const std::string& name, const Value& left, const Value& right, Budget& budget) {
  const auto &a = *left.list(), &b = *right.list();
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    TRY(budget.spend(std::min(a[i].weight(), b[i].weight())));
    if (!equal(a[i], b[i])) return compare(name, a[i], b[i], budget);
  }
  return compare(name, Value(static_cast<std::int64_t>(a.size())), Value(static_cast<std::int64_t>(b.size())), budget);
}

Result<bool> compare(const std::string& name, const Value& left, const Value& right, Budget& budget) {
  if (left.list() && right.list() && left.is_tuple() == right.is_tuple()) return compare_lists(name, left, right, budget);
  if (left.text() && right.text()) {
    const int order = left.text()->compare(*right.text());
    return name == "<" ? order < 0 : name == "<=" ? order <= 0 : name == ">" ? order > 0 : order >= 0;
  }
  if (!left.is_number() || !right.is_number())
    return budget.bad(std::string("compares a value of type ") + left.type_name() + " with one of type " + right.type_name());
  const double a = left.number(), b = right.number();
  return name == "<" ? a < b : name == "<=" ? a <= b : name == ">" ? a > b : a >= b;
}

Result<Value> add(const Value& left, const Value& right, Budget& budget) {
  if (left.text() && right.text()) {
    TRY(budget.spend(left.text()->size() + right.text()->size()));
    if (!left.is_marked() && !right.is_marked()) return Value(*left.text() + *right.text());
    auto text = escape(left) + escape(right);
    TRY(budget.spend(text.size()));
    return Value::marked(std::move(text));
  }
  if (left.list() && right.list()) {
    auto all = *left.list();
    TRY(budget.spend(left.weight() + right.weight()));
    all.insert(all.end(), right.list()->begin(), right.list()->end());
    if (left.is_tuple() != right.is_tuple()) return budget.bad("adds a tuple and a list");
    return left.is_tuple() ? Value::tuple_of(std::move(all)) : Value::of(std::move(all));
  }
  if (left.is_number() && right.is_number()) return arithmetic("+", left, right, budget);
  return budget.bad(std::string("adds a value of type ") + right.type_name() + " to one of type " + left.type_name());
}

constexpr std::int64_t kTimesMax = 1'000'000;

// "ab" * 3 and [0] * 3
Result<Value> repeat(const Value& what, const Value& times, Budget& budget) {
  const auto count = std::clamp<std::int64_t>(times.integer(), 0, kTimesMax);
  if (times.integer() > kTimesMax) return budget.bad("repeats something more than a million times", ErrorCode::limit_exceeded);
  TRY(budget.spend(static_cast<std::size_t>(count) * what.weight()));
  if (what.text()) {
    std::string text;
    for (std::int64_t i = 0; i < count; ++i) text += *what.text();
    return what.is_marked() ? Value::marked(std::move(text)) : Value(std::move(text));
  }
  List list;
  for (std::int64_t i = 0; i < count; ++i) list.insert(list.end(), what.list()->begin(), what.list()->end());
  return what.is_tuple() ? Value::tuple_of(std::move(list)) : Value::of(std::move(list));
}

// "%s: %d" % (name, 1), with %s, %d, %i and %% alone.
Result<Value> printed(const Value& left, const Value& with, Budget& budget) {
  const auto& format = *left.text();
  const List one{with};
  const auto& values = with.is_tuple() ? *with.list() : one;
  std::size_t next = 0;
  std::string out;
  for (std::size_t at = 0; at < format.size(); ++at) {
    if (format[at] != '%') {
      out += format[at];
      continue;
    }
    const char kind = ++at < format.size() ? format[at] : '\0';
    if (kind == '%') {
      out += '%';
      continue;
    }
    const bool number = kind == 'd' || kind == 'i';
    if (kind != 's' && !number) return budget.bad(std::string("formats with '%") + kind + "', which is not supported", ErrorCode::unsupported);
    if (next >= values.size() || (number && !values[next].is_number())) return budget.bad("formats with other values than its text asks for");
    const auto& value = values[next++];
    const auto part = number ? to_text(Value(value.is_integer() || value.is_bool() ? value.integer() : static_cast<std::int64_t>(value.number())))
                      : left.is_marked() ? escape(value)
                                         : to_text(value);
    TRY(budget.spend(part.size()));
    out += part;
  }
  if (next != values.size()) return budget.bad("formats with more values than its text asks for");
  return left.is_marked() ? Value::marked(std::move(out)) : Value(std::move(out));
}

// A time without a zone, as Python's datetime.now() is, writes nothing for it.
std::string without_zone(std::string_view format) {
  std::string out;
  for (std::size_t at = 0; at < format.size(); ++at) {
    const auto two = format.substr(at, 2);
    if (two != "%Z" && two != "%z") out += format[at] == '%' ? two : format.substr(at, 1);
    if (format[at] == '%') ++at;
  }
  return out;
}

// strftime_now(format)
Result<Value> tell_time(const Given& given, std::int64_t now, Budget& budget) {
  const auto* format = given.find(0, "format");
  if (!format || !format->text()) return budget.bad("asks for the time without a format");
  if (format->text()->size() > 1000) return budget.bad("asks for the time with too long a format", ErrorCode::limit_exceeded);
  std::tm parts{};
  const auto seconds = static_cast<std::time_t>(now);
  ::gmtime_r(&seconds, &parts);
  std::string text(16 << 10, '\0');
  // A mark tells an empty answer from one that does not fit.
  const auto size = std::strftime(text.data(), text.size(), (without_zone(*format->text()) + "x").c_str(), &parts);
  if (size == 0) return budget.bad("asks for the time with too long a format", ErrorCode::limit_exceeded);
  text.resize(size - 1);
  TRY(budget.spend(size));
  return Value(std::move(text));
}

// dict(a=1), dict({"a": 1}, b=2) and dict([("a", 1)])
Result<Value> make_dict(const Given& given, Budget& budget) {
  if (given.positional.size() > 1) return budget.bad("calls dict with several values");
  Dict out;
  if (const auto* from = given.positional.empty() ? nullptr : &given.positional[0]) {
    if (from->dict()) out = *from->dict();
    else
      for (const auto& pair : TRY(items_of(*from, budget))) {
        const auto parts = TRY(items_of(pair, budget));
        if (parts.size() != 2) return budget.bad("calls dict with something that is no list of pairs");
        if (!parts[0].text()) return budget.bad("makes a dict with a key that is no string", ErrorCode::unsupported);
        set_member(out, *parts[0].text(), parts[1]);
      }
  }
  for (const auto& [name, value] : given.named) set_member(out, name, value);
  auto made = Value::of(std::move(out));
  TRY(budget.spend(made.weight()));
  return made;
}

Result<Value> make_range(const Given& given, Budget& budget) {
  std::int64_t numbers[3] = {0, 0, 1};
  const auto& values = given.positional;
  if (values.empty() || values.size() > 3) return budget.bad("calls range with a bad number of arguments");
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!values[i].is_integer()) return budget.bad("calls range with something that is no whole number");
    numbers[values.size() == 1 ? 1 : i] = values[i].integer();
  }
  const auto [begin, end, step] = numbers;
  if (step == 0) return budget.bad("calls range with step 0");
  List list;
  for (std::int64_t i = begin; step > 0 ? i < end : i > end;) {
    list.emplace_back(i);
    if (static_cast<std::int64_t>(list.size()) > kRangeMax) return budget.bad("makes a range longer than 100,000", ErrorCode::limit_exceeded);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  TRY(budget.spend(list.size() * sizeof(Value)));
  return Value::of(std::move(list));
}

}  // namespace

Status check_written(const Value& value, Budget& budget) {
  if (!value.iterator()) return {};
  return budget.bad("writes out what a filter makes item by item; Python writes its address", ErrorCode::unsupported);
}

Result<List> items_of(const Value& value, Budget& budget) {
  List items;
  if (const auto* list = value.list()) items = *list;
  else if (auto* iterator = value.iterator()) {
    items = std::exchange(iterator->items, {});
    std::ranges::reverse(items);
  }
  else if (const auto* dict = value.dict())
    for (const auto& [key, unused] : *dict) items.emplace_back(key);
  else if (const auto* text = value.text())
    for (const auto point : code_points(*text)) items.emplace_back(std::string(point));
  else if (!value.is_undefined()) return budget.bad(std::string("walks over a value of type ") + value.type_name());
  TRY(budget.spend(items.size() * sizeof(Value)));
  return items;
}

Result<bool> contains(const Value& all, const Value& one, Budget& budget) {
  if (all.text() && one.text()) return all.text()->find(*one.text()) != std::string::npos;
  if (all.dict() && (one.dict() || (one.list() && !one.is_tuple()))) return budget.bad(std::string("looks for a key of type ") + one.type_name());
  if (all.dict()) return one.text() && find_member(*all.dict(), *one.text()) != nullptr;
  if (all.list()) return std::ranges::any_of(*all.list(), [&](const Value& item) { return equal(item, one); });
  if (auto* iterator = all.iterator()) {
    // What was looked at is gone.
    for (auto& items = iterator->items; !items.empty();) {
      const auto item = std::move(items.back());
      items.pop_back();
      TRY(budget.spend(1));
      if (equal(item, one)) return true;
    }
    return false;
  }
  if (all.is_undefined()) return false;
  return budget.bad(std::string("looks for something in a value of type ") + all.type_name());
}

Result<Value> apply_binary(const std::string& name, const Value& left, const Value& right, Budget& budget) {
  TRY(budget.spend(std::min(left.weight(), right.weight())));
  if (name == "==") return Value(equal(left, right));
  if (name == "!=") return Value(!equal(left, right));
  if (name == "in") return Value(TRY(contains(right, left, budget)));
  if (name == "not in") return Value(!TRY(contains(right, left, budget)));
  if (name == "~") {
    TRY(budget.spend(left.weight() + right.weight()));
    for (const auto* side : {&left, &right}) TRY(check_written(*side, budget));
    auto text = to_text(left) + to_text(right);
    return Value(std::move(text));
  }
  if (name[0] == '<' || name[0] == '>') return Value(TRY(compare(name, left, right, budget)));
  if (name == "+") return add(left, right, budget);
  if (name == "*" && (left.text() || left.list()) && (right.is_integer() || right.is_bool())) return repeat(left, right, budget);
  if (name == "*" && (right.text() || right.list()) && (left.is_integer() || left.is_bool())) return repeat(right, left, budget);
  if (name == "%" && left.text()) return printed(left, right, budget);
  if (!left.is_number() || !right.is_number())
    return budget.bad("uses '" + name + "' between a value of type " + left.type_name() + " and one of type " + right.type_name());
  return arithmetic(name, left, right, budget);
}

Result<Value> call_function(Function function, const Given& given, std::int64_t now, Budget& budget) {
  switch (function) {
    case Function::range: return make_range(given, budget);
    case Function::make_dict: return make_dict(given, budget);
    case Function::make_namespace: {
      for (const auto& [key, value] : given.named)
        if (value.holds_space()) return budget.bad("puts a namespace into a namespace", ErrorCode::unsupported);
      if (!given.positional.empty()) return budget.bad("calls namespace with a value that has no name", ErrorCode::unsupported);
      return Value(std::make_shared<Namespace>(Namespace{given.named}));
    }
    case Function::strftime_now: return tell_time(given, now, budget);
    case Function::method: return budget.bad("calls a method that it put elsewhere first, which is not supported", ErrorCode::unsupported);
    case Function::raise_exception: break;
  }
  return budget.bad("refuses this conversation: " + (given.positional.empty() ? std::string() : to_text(given.positional[0])));
}

}  // namespace redoubt::engine::chat_template
