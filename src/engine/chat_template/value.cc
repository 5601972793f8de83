// SPDX-License-Identifier: Apache-2.0
#include "engine/chat_template/value.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/json.h"

namespace redoubt::engine::chat_template {
namespace {

constexpr int kDepthMax = 64;  // values nest no deeper: the interpreter refuses to build them

template <class... F>
struct Overload : F... {
  using F::operator()...;
};
template <class... F>
Overload(F...) -> Overload<F...>;

// Python's repr of a float: the shortest digits that read back, with ".0" for whole numbers.
std::string number_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char text[64];
  const double size = std::fabs(value);
  const auto format = size != 0 && (size < 1e-4 || size >= 1e16) ? std::chars_format::scientific : std::chars_format::fixed;
  std::string out(text, std::to_chars(text, text + sizeof text, value, format).ptr);
  if (out.find_first_of(".e") == std::string::npos) out += ".0";
  return out;
}

// Python's repr of a string.
std::string quoted(const std::string& text) {
  const char quote = text.find('\'') != std::string::npos && text.find('"') == std::string::npos ? '"' : '\'';
  std::string out(1, quote);
  for (const char c : text) {
    if (c == quote || c == '\\') out += '\\', out += c;
    else if (c == '\n') out += "\\n";
    else if (c == '\r') out += "\\r";
    else if (c == '\t') out += "\\t";
    else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      char hex[5];
      std::snprintf(hex, sizeof hex, "\\x%02x", static_cast<unsigned char>(c));
      out += hex;
    } else out += c;
  }
  return out + quote;
}

std::string repr(const Value& value, int depth);

std::string repr(const List& list, int depth) {
  std::string out = "[";
  for (const auto& item : list) out += (out.size() > 1 ? ", " : "") + repr(item, depth + 1);
  return out + "]";
}

std::string repr(const Dict& dict, int depth) {
  std::string out = "{";
  for (const auto& [key, item] : dict) out += (out.size() > 1 ? ", " : "") + quoted(key) + ": " + repr(item, depth + 1);
  return out + "}";
}

std::string repr(const Value& value, int depth) {
  if (depth > kDepthMax) return "...";
  if (const auto* text = value.text()) return quoted(*text);
  if (const auto* list = value.list()) return repr(*list, depth);
  if (const auto* dict = value.dict()) return repr(*dict, depth);
  if (value.is_undefined()) return "Undefined";
  return to_text(value);
}

void write_json(const Value& value, int indent, int depth, std::string& out);

void new_line(int indent, int depth, std::string& out) {
  if (indent >= 0) out += "\n" + std::string(static_cast<std::size_t>(indent) * static_cast<std::size_t>(depth), ' ');
}

template <class Items, class Write>
void write_items(const Items& items, char open, char close, int indent, int depth, std::string& out, Write write) {
  out += open;
  bool first = true;
  for (const auto& item : items) {
    if (!first) out += indent >= 0 ? "," : ", ";
    first = false;
    new_line(indent, depth + 1, out);
    write(item);
  }
  if (!first) new_line(indent, depth, out);
  out += close;
}

void write_json(const Value& value, int indent, int depth, std::string& out) {
  if (depth > kDepthMax) return;
  if (const auto* list = value.list())
    return write_items(*list, '[', ']', indent, depth, out, [&](const Value& item) { write_json(item, indent, depth + 1, out); });
  if (const auto* dict = value.dict())
    return write_items(*dict, '{', '}', indent, depth, out, [&](const auto& item) {
      out += dump_json(item.first) + ": ";
      write_json(item.second, indent, depth + 1, out);
    });
  if (const auto* text = value.text()) out += dump_json(*text);
  else if (value.is_bool()) out += value.truth() ? "true" : "false";
  else if (value.is_number()) out += to_text(value);
  else out += "null";
}

}  // namespace

namespace {

constexpr std::size_t kWeightMax = std::size_t{1} << 48;

}  // namespace

Value Value::of(List list) {
  std::size_t weight = 1;
  bool holds = false;
  for (const auto& item : list) {
    weight = std::min(kWeightMax, weight + item.weight());
    holds = holds || item.holds_space();
  }
  Value made(std::make_shared<const List>(std::move(list)));
  made.weight_ = weight;
  made.holds_space_ = holds;
  return made;
}

Value Value::of(Dict dict) {
  std::size_t weight = 1;
  bool holds = false;
  for (const auto& [key, item] : dict) {
    weight = std::min(kWeightMax, weight + key.size() + item.weight());
    holds = holds || item.holds_space();
  }
  Value made(std::make_shared<const Dict>(std::move(dict)));
  made.weight_ = weight;
  made.holds_space_ = holds;
  return made;
}

std::size_t Value::weight() const {
  constexpr std::size_t kScalar = 16;
  if (const auto* held = text()) return held->size() + kScalar;
  return weight_ + kScalar;
}

double Value::number() const {
  if (const auto* real = std::get_if<double>(&data_)) return *real;
  return static_cast<double>(integer());
}

std::int64_t Value::integer() const {
  if (const auto* whole = std::get_if<std::int64_t>(&data_)) return *whole;
  if (const auto* flag = std::get_if<bool>(&data_)) return *flag;
  return 0;
}

bool Value::truth() const {
  return std::visit(Overload{[](Undefined) { return false; }, [](None) { return false; }, [](bool b) { return b; },
                             [](std::int64_t i) { return i != 0; }, [](double d) { return d != 0; },
                             [](const std::string& s) { return !s.empty(); },
                             [](const std::shared_ptr<const List>& l) { return !l->empty(); },
                             [](const std::shared_ptr<const Dict>& d) { return !d->empty(); },
                             [](const std::shared_ptr<Namespace>&) { return true; }, [](Function) { return true; }},
                    data_);
}

const char* Value::type_name() const {
  static constexpr const char* kNames[] = {"undefined", "none", "boolean", "integer", "float",
                                           "string", "list", "mapping", "namespace", "function"};
  return kNames[data_.index()];
}

const Value* find_member(const Dict& dict, std::string_view key) {
  const auto found = std::ranges::find_if(dict, [&](const auto& member) { return member.first == key; });
  return found == dict.end() ? nullptr : &found->second;
}

bool equal(const Value& a, const Value& b, int depth) {
  if (depth > kDepthMax) return false;
  if (a.is_number() && b.is_number())
    return a.is_integer() && b.is_integer() ? a.integer() == b.integer() : a.number() == b.number();
  if (a.text() && b.text()) return *a.text() == *b.text();
  if (a.list() && b.list())
    return std::ranges::equal(*a.list(), *b.list(), [&](const Value& x, const Value& y) { return equal(x, y, depth + 1); });
  if (a.dict() && b.dict())
    return a.dict()->size() == b.dict()->size() && std::ranges::all_of(*a.dict(), [&](const auto& member) {
             const auto* other = find_member(*b.dict(), member.first);
             return other && equal(member.second, *other, depth + 1);
           });
  if (a.space() || b.space()) return a.space() == b.space();
  return (a.is_none() && b.is_none()) || (a.is_undefined() && b.is_undefined());
}

std::string to_text(const Value& value) {
  if (const auto* text = value.text()) return *text;
  if (value.is_undefined()) return "";
  if (value.is_none()) return "None";
  if (value.is_bool()) return value.truth() ? "True" : "False";
  if (value.is_integer()) return std::to_string(value.integer());
  if (value.is_number()) return number_text(value.number());
  if (value.list() || value.dict()) return repr(value, 0);
  return std::string("<") + value.type_name() + ">";
}

std::string to_json(const Value& value, int indent) {
  std::string out;
  write_json(value, indent, 0, out);
  return out;
}

}  // namespace redoubt::engine::chat_template
