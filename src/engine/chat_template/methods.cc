// SPDX-License-Identifier: Apache-2.0
//
// Methods of strings, dicts and lists. There is no other way to reach anything by a name.
#include <algorithm>
#include <map>

#include "engine/chat_template/interpreter.h"
#include "engine/chat_template/text_operations.h"

namespace redoubt::engine::chat_template {
namespace {

using namespace std::string_literals;

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

// split and rsplit
Result<Value> split_method(const std::string& text, bool right, const Given& given, Budget& budget) {
  const auto *separator = given.find(0, "sep"), *count = given.find(1, "maxsplit");
  std::optional<std::string_view> at;
  if (separator && separator->text()) at = *separator->text();
  else if (separator && !separator->is_none()) return budget.bad("splits at something that is no string");
  if (at && at->empty()) return budget.bad("splits at an empty string");
  const auto most = count && count->is_integer() ? count->integer() : -1;
  auto list = to_list(right ? split_right(text, at, most) : split(text, at, most));
  TRY(budget.spend(text.size() + list.size() * sizeof(Value)));
  return Value::of(std::move(list));
}

// partition and rpartition
Result<Value> partition_method(const std::string& text, bool right, const Given& given, Budget& budget) {
  const auto* separator = given.find(0, "sep");
  if (!separator || !separator->text() || separator->text()->empty()) return budget.bad("parts a string at something that is no string");
  const auto at = right ? text.rfind(*separator->text()) : text.find(*separator->text());
  if (at == std::string::npos) return Value::tuple_of(right ? List{Value(""s), Value(""s), Value(text)} : List{Value(text), Value(""s), Value(""s)});
  return Value::tuple_of(List{Value(text.substr(0, at)), *separator, Value(text.substr(at + separator->text()->size()))});
}

// ljust, rjust, center and zfill
Result<Value> pad_method(const std::string& text, const std::string& name, const Given& given, Budget& budget) {
  const auto *width = given.find(0, "width"), *fill = given.find(1, "fillchar");
  if (!width || !width->is_integer() || width->integer() > 10'000 || (fill && (!fill->text() || length_of(*fill->text()) != 1)))
    return budget.bad("pads a string to no width, or with something that is no character");
  const auto length = static_cast<std::int64_t>(length_of(text));
  const auto missing = std::max<std::int64_t>(0, width->integer() - length);
  const std::string unit = name == "zfill" ? "0" : fill ? *fill->text() : " ";
  const auto padding = [&](std::int64_t count) {
    std::string out;
    for (std::int64_t i = 0; i < count; ++i) out += unit;
    return out;
  };
  TRY(budget.spend(static_cast<std::size_t>(missing) * unit.size()));
  if (name == "ljust") return Value(text + padding(missing));
  if (name == "rjust") return Value(padding(missing) + text);
  if (name == "zfill") {
    const std::size_t sign = text.starts_with('-') || text.starts_with('+') ? 1 : 0;
    return Value(text.substr(0, sign) + padding(missing) + text.substr(sign));
  }
  const auto left = missing / 2 + (missing & width->integer() & 1);  // as CPython rounds
  return Value(padding(left) + text + padding(missing - left));
}

// "{} {name}" with values that are written as they are; a format of its own is not supported.
Result<Value> format_method(const std::string& text, const Given& given, Budget& budget) {
  std::string out;
  std::size_t next = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if ((c == '{' || c == '}') && at + 1 < text.size() && text[at + 1] == c) {
      out += c;
      ++at;
    } else if (c == '{') {
      const auto close = text.find('}', at);
      if (close == std::string::npos) return budget.bad("formats with a brace that is not closed");
      const auto field = text.substr(at + 1, close - at - 1);
      if (field.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != std::string::npos)
        return budget.bad("formats with '{" + field.substr(0, 40) + "}', which is not supported", ErrorCode::unsupported);
      const bool counted = field.find_first_not_of("0123456789") == std::string::npos;
      const auto index = field.empty() ? next++ : counted && field.size() < 4 ? static_cast<std::size_t>(std::stoi(field)) : given.positional.size();
      const auto* value = counted ? (index < given.positional.size() ? &given.positional[index] : nullptr) : find_member(given.named, field);
      if (!value) return budget.bad("formats with more fields than values");
      const auto part = to_text(*value);
      TRY(budget.spend(part.size()));
      out += part;
      at = close;
    } else if (c == '}') {
      return budget.bad("formats with a brace that was not opened");
    } else {
      out += c;
    }
  }
  return Value(std::move(out));
}

Result<Value> search_method(const std::string& text, const std::string& name, const Given& given, Budget& budget);

// The same from a place on, and before one, counted as in a slice.
Result<Value> search_range(const std::string& text, const std::string& name, const Given& given, Budget& budget) {
  const auto length = static_cast<std::int64_t>(length_of(text));
  std::int64_t ends[2] = {0, length};
  for (std::size_t i = 1; i < given.positional.size(); ++i) {
    if (given.positional[i].is_none()) continue;
    if (i > 2 || !given.positional[i].is_integer()) return budget.bad("calls '" + name + "' with a range that is none");
    const auto place = given.positional[i].integer();
    ends[i - 1] = place < 0 ? std::max<std::int64_t>(0, place + length) : place;
  }
  const auto [begin, end] = ends;
  const Value nothing = name == "count" ? Value(std::int64_t{0}) : Value(std::int64_t{-1});
  if (begin > length || std::min(end, length) < begin) {
    if (name.ends_with("index")) return budget.bad("looks for a string that is not there");
    return nothing;
  }
  const auto part = substring(text, static_cast<std::size_t>(begin), static_cast<std::size_t>(std::min(end, length)));
  const auto found = TRY(search_method(std::string(part), name, {.positional = {given.positional[0]}, .named = {}}, budget));
  return name == "count" || found.integer() < 0 ? found : Value(found.integer() + begin);
}

// find, rfind, index, rindex and count
Result<Value> search_method(const std::string& text, const std::string& name, const Given& given, Budget& budget) {
  const auto* wanted = given.find(0, "sub");
  if (!wanted || !wanted->text()) return budget.bad("looks in a string for something that is no string");
  if (given.positional.size() > 1) return search_range(text, name, given, budget);
  const auto& sub = *wanted->text();
  if (name == "count") {
    if (sub.empty()) return Value(static_cast<std::int64_t>(length_of(text)) + 1);
    std::int64_t count = 0;
    for (auto at = text.find(sub); at != std::string::npos; at = text.find(sub, at + sub.size())) ++count;
    return Value(count);
  }
  const auto at = name.starts_with('r') ? text.rfind(sub) : text.find(sub);
  if (at != std::string::npos) return Value(static_cast<std::int64_t>(length_of(std::string_view(text).substr(0, at))));
  if (name.ends_with("index")) return budget.bad("looks for a string that is not there");
  return Value(std::int64_t{-1});
}

const std::map<std::string_view, Kind>& kinds() {
  static const std::map<std::string_view, Kind> kKinds = {{"isalpha", Kind::alpha},     {"isdigit", Kind::digit}, {"isdecimal", Kind::decimal},
                                                          {"isnumeric", Kind::numeric}, {"isalnum", Kind::alnum}, {"isspace", Kind::space}};
  return kKinds;
}

using TextMethod = Result<Value> (*)(const std::string& text, const std::string& name, const Given& given, Budget& budget);

template <std::string (*change)(std::string_view)>
Result<Value> changed(const std::string& text, const std::string&, const Given&, Budget&) {
  return Value(change(text));
}

Result<Value> strip_method(const std::string& text, const std::string& name, const Given& given, Budget& budget) {
  const auto* characters = given.find(0, "chars");
  if (characters && !characters->text() && !characters->is_none()) return budget.bad("strips a string of something that is no string");
  const auto sides = name == "strip" ? Sides::both : name == "lstrip" ? Sides::left : Sides::right;
  return Value(std::string(strip(text, sides, characters && characters->text() ? std::optional<std::string_view>(*characters->text()) : std::nullopt)));
}

Result<Value> begins_method(const std::string& text, const std::string& name, const Given& given, Budget& budget) {
  if (given.positional.size() != 1) return budget.bad("calls '" + name + "' with a range, which is not supported", ErrorCode::unsupported);
  return Value(TRY(begins_or_ends(text, given.positional[0], name == "startswith", budget)));
}

Result<Value> remove_method(const std::string& text, const std::string& name, const Given& given, Budget& budget) {
  if (given.positional.size() != 1 || !given.positional[0].text()) return budget.bad("removes something from a string that is no string");
  const auto& part = *given.positional[0].text();
  if (name == "removeprefix") return Value(text.starts_with(part) ? text.substr(part.size()) : text);
  return Value(text.ends_with(part) ? text.substr(0, text.size() - part.size()) : text);
}

const std::map<std::string_view, TextMethod>& text_methods() {
  static const std::map<std::string_view, TextMethod> kMethods = {
      {"strip", strip_method},
      {"lstrip", strip_method},
      {"rstrip", strip_method},
      {"split", [](const std::string& t, const std::string&, const Given& g, Budget& b) { return split_method(t, false, g, b); }},
      {"rsplit", [](const std::string& t, const std::string&, const Given& g, Budget& b) { return split_method(t, true, g, b); }},
      {"partition", [](const std::string& t, const std::string&, const Given& g, Budget& b) { return partition_method(t, false, g, b); }},
      {"rpartition", [](const std::string& t, const std::string&, const Given& g, Budget& b) { return partition_method(t, true, g, b); }},
      {"splitlines",
       [](const std::string& t, const std::string&, const Given& g, Budget& b) -> Result<Value> {
         if (!g.positional.empty() || !g.named.empty()) return b.bad("calls splitlines with a value, which is not supported", ErrorCode::unsupported);
         return Value::of(to_list(split_lines(t)));
       }},
      {"upper", changed<upper>},
      {"lower", changed<lower>},
      {"capitalize", changed<capitalize>},
      {"title", changed<title_words>},
      {"swapcase", changed<swap_case>},
      {"replace", [](const std::string& t, const std::string&, const Given& g, Budget& b) { return apply_filter("replace", Value(t), g, b); }},
      {"startswith", begins_method},
      {"endswith", begins_method},
      {"removeprefix", remove_method},
      {"removesuffix", remove_method},
      {"join",
       [](const std::string& t, const std::string&, const Given& g, Budget& b) -> Result<Value> {
         if (g.positional.size() != 1) return b.bad("joins nothing");
         auto items = TRY(items_of(g.positional[0], b));
         if (!std::ranges::all_of(items, [](const Value& item) { return item.text() != nullptr; })) return b.bad("joins something that is no string");
         return apply_filter("join", Value::of(std::move(items)), {.positional = {Value(t)}, .named = {}}, b);
       }},
      {"find", search_method},
      {"rfind", search_method},
      {"index", search_method},
      {"rindex", search_method},
      {"count", search_method},
      {"ljust", pad_method},
      {"rjust", pad_method},
      {"center", pad_method},
      {"zfill", pad_method},
      {"format", [](const std::string& t, const std::string&, const Given& g, Budget& b) { return format_method(t, g, b); }},
      {"isupper", [](const std::string& t, const std::string&, const Given&, Budget&) -> Result<Value> { return Value(is_cased(t, true)); }},
      {"islower", [](const std::string& t, const std::string&, const Given&, Budget&) -> Result<Value> { return Value(is_cased(t, false)); }},
  };
  return kMethods;
}

Result<Value> text_method(const std::string& text, const std::string& name, const Given& given, Budget& budget) {
  TRY(budget.spend(text.size()));
  if (const auto kind = kinds().find(name); kind != kinds().end()) return Value(is_all(text, kind->second));
  const auto found = text_methods().find(name);
  if (found == text_methods().end()) return budget.bad("calls the string method '" + name + "', which is not supported", ErrorCode::unsupported);
  return found->second(text, name, given, budget);
}

// Markup's methods: what is put into marked text is escaped, and what comes out is marked.
Result<Value> marked_method(const std::string& text, const std::string& name, Given given, Budget& budget) {
  const auto escape_into = [&](Value& value) -> Status {
    auto escaped = escape(value);
    TRY(budget.spend(escaped.size()));
    value = Value(std::move(escaped));
    return {};
  };
  if (name == "replace" && given.positional.size() > 1) TRY(escape_into(given.positional[1]));
  if (name == "format") {
    for (auto& value : given.positional) TRY(escape_into(value));
    for (auto& [key, value] : given.named) TRY(escape_into(value));
  }
  if (name == "join" && given.positional.size() == 1) {
    auto items = TRY(items_of(given.positional[0], budget));
    for (auto& item : items) TRY(escape_into(item));
    given.positional[0] = Value::of(std::move(items));
  }
  const auto made = TRY(text_method(text, name, given, budget));
  if (made.text()) return Value::marked(*made.text());
  if (!made.list()) return made;
  List parts;
  for (const auto& part : *made.list()) parts.push_back(Value::marked(*part.text()));
  return made.is_tuple() ? Value::tuple_of(std::move(parts)) : Value::of(std::move(parts));
}

Result<Value> dict_method(const Value& of, const Dict& dict, const std::string& name, const Given& given, Budget& budget) {
  if (name == "items") return Value::of(TRY(items_of(TRY(apply_filter("items", of, {}, budget)), budget)));
  if (name == "keys") return Value::of(TRY(items_of(of, budget)));
  if (name == "copy") return of;
  if (name == "values") {
    List values;
    for (const auto& [key, value] : dict) values.push_back(value);
    TRY(budget.spend(of.weight()));
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

Result<Value> list_method(const Value& of, const List& list, const std::string& name, const Given& given, Budget& budget) {
  if (name == "copy") return of;
  if ((name == "index" || name == "count") && given.positional.size() == 1) {
    TRY(budget.spend(of.weight()));
    std::int64_t count = 0;
    for (std::size_t i = 0; i < list.size(); ++i) {
      if (!equal(list[i], given.positional[0])) continue;
      if (name == "index") return Value(static_cast<std::int64_t>(i));
      ++count;
    }
    if (name == "count") return Value(count);
    return budget.bad("looks in a list for something that is not there");
  }
  return budget.bad("calls the list method '" + name + "', which is not supported", ErrorCode::unsupported);
}

// Python's methods that change nothing, whether they are built here or not.
constexpr std::string_view kTextMethods[] = {
    "capitalize", "casefold", "center",     "count",      "encode",      "endswith", "expandtabs", "find",     "format",       "format_map",   "index",  "isalnum",
    "isalpha",    "isascii",  "isdecimal",  "isdigit",    "isidentifier", "islower", "isnumeric",  "isprintable", "isspace",   "istitle",      "isupper", "join",
    "ljust",      "lower",    "lstrip",     "maketrans",  "partition",   "removeprefix", "removesuffix", "replace", "rfind",   "rindex",       "rjust",  "rpartition",
    "rsplit",     "rstrip",   "split",      "splitlines", "startswith",  "strip",    "swapcase",   "title",    "translate",    "upper",        "zfill"};
constexpr std::string_view kDictMethods[] = {"copy", "fromkeys", "get", "items", "keys", "values"};
constexpr std::string_view kListMethods[] = {"copy", "count", "index"};

}  // namespace

Result<Value> call_method(const Value& value, const std::string& name, const Given& given, Budget& budget) {
  if (value.is_marked()) return marked_method(*value.text(), name, given, budget);
  if (value.text()) return text_method(*value.text(), name, given, budget);
  if (value.dict()) return dict_method(value, *value.dict(), name, given, budget);
  if (value.list()) return list_method(value, *value.list(), name, given, budget);
  return budget.bad("calls '" + name + "' of a value of type " + value.type_name(), ErrorCode::unsupported);
}

bool has_method(const Value& value, std::string_view name) {
  if (value.text()) return std::ranges::find(kTextMethods, name) != std::end(kTextMethods);
  if (value.dict()) return std::ranges::find(kDictMethods, name) != std::end(kDictMethods);
  return value.list() && std::ranges::find(kListMethods, name) != std::end(kListMethods);
}

}  // namespace redoubt::engine::chat_template
