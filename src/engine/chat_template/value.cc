// SPDX-License-Identifier: Apache-2.0
#include "engine/chat_template/value.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include <unicode/uchar.h>

#include "base/json.h"
#include "base/utf8.h"

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

std::string escaped(const char* form, std::uint32_t code) {
  char text[16];
  std::snprintf(text, sizeof text, form, code);
  return text;
}

// Whether Python shows a character as it is: no control, no separator but the space, nothing unassigned.
bool is_printable(std::uint32_t c) {
  if (c < 0x7F) return c >= 0x20;
  return (U_GET_GC_MASK(static_cast<UChar32>(c)) & (U_GC_C_MASK | U_GC_Z_MASK)) == 0;
}

// Python's repr of a string.
std::string quoted(const std::string& text) {
  const char quote = text.find('\'') != std::string::npos && text.find('"') == std::string::npos ? '"' : '\'';
  std::string out(1, quote);
  for (std::size_t at = 0; at < text.size();) {
    const auto step = utf8_step(std::string_view(text).substr(at));
    const auto c = step.code_point;
    if (c == static_cast<std::uint32_t>(quote) || c == '\\') out += '\\', out += static_cast<char>(c);
    else if (c == '\n') out += "\\n";
    else if (c == '\r') out += "\\r";
    else if (c == '\t') out += "\\t";
    else if (is_printable(c)) out += text.substr(at, step.size);
    else out += escaped(c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", c);
    at += step.size;
  }
  return out + quote;
}

std::string repr(const Value& value, int depth);

std::string repr(const List& list, bool tuple, int depth) {
  std::string out = tuple ? "(" : "[";
  for (const auto& item : list) out += (out.size() > 1 ? ", " : "") + repr(item, depth + 1);
  if (tuple && list.size() == 1) out += ',';
  return out + (tuple ? ')' : ']');
}

std::string repr(const Dict& dict, int depth) {
  std::string out = "{";
  for (const auto& [key, item] : dict) out += (out.size() > 1 ? ", " : "") + quoted(key) + ": " + repr(item, depth + 1);
  return out + "}";
}

std::string repr(const Value& value, int depth) {
  if (depth > kDepthMax) return "...";
  if (const auto* text = value.text()) return value.is_marked() ? "Markup(" + quoted(*text) + ")" : quoted(*text);
  if (const auto* list = value.list()) return repr(*list, value.is_tuple(), depth);
  if (const auto* dict = value.dict()) return repr(*dict, depth);
  if (value.is_undefined()) return "Undefined";
  return to_text(value);
}

// A string as json.dumps writes it.
std::string json_text(const std::string& text, bool ascii) {
  if (!ascii) return dump_json(text);
  std::string out = "\"";
  for (std::size_t at = 0; at < text.size();) {
    const auto step = utf8_step(std::string_view(text).substr(at));
    const auto c = step.code_point;
    if (c >= 0x10000) out += escaped("\\u%04x", 0xD800 + ((c - 0x10000) >> 10)) + escaped("\\u%04x", 0xDC00 + ((c - 0x10000) & 0x3FF));
    else if (c >= 0x7F) out += escaped("\\u%04x", c);
    else {
      const auto plain = dump_json(text.substr(at, 1));
      out += plain.substr(1, plain.size() - 2);
    }
    at += step.size;
  }
  return out + '"';
}

class JsonWriter {
 public:
  explicit JsonWriter(const JsonStyle& style) : style_(style) {}

  void write(const Value& value, int depth, std::string& out) const {
    if (depth > kDepthMax) return;
    if (const auto* list = value.list()) return items(*list, '[', ']', depth, out, [&](const Value& item) { write(item, depth + 1, out); });
    if (const auto* dict = value.dict()) {
      auto sorted = style_.sorts_keys ? *dict : Dict();
      std::ranges::sort(sorted, {}, &Dict::value_type::first);
      return items(style_.sorts_keys ? sorted : *dict, '{', '}', depth, out, [&](const auto& item) {
        out += json_text(item.first, style_.ascii) + style_.after_key;
        write(item.second, depth + 1, out);
      });
    }
    if (const auto* text = value.text()) out += json_text(*text, style_.ascii);
    else if (value.is_bool()) out += value.truth() ? "true" : "false";
    else if (value.is_number()) out += number(value);
    else out += "null";
  }

 private:
  static std::string number(const Value& value) {
    if (value.is_integer() || std::isfinite(value.number())) return to_text(value);
    return std::isnan(value.number()) ? "NaN" : value.number() < 0 ? "-Infinity" : "Infinity";
  }

  void new_line(int depth, std::string& out) const {
    if (style_.indent >= 0) out += "\n" + std::string(static_cast<std::size_t>(style_.indent) * static_cast<std::size_t>(depth), ' ');
  }

  template <class Items, class Write>
  void items(const Items& all, char open, char close, int depth, std::string& out, Write write_one) const {
    out += open;
    bool first = true;
    for (const auto& item : all) {
      if (!first) out += !style_.between_items.empty() ? style_.between_items : style_.indent >= 0 ? "," : ", ";
      first = false;
      new_line(depth + 1, out);
      write_one(item);
    }
    if (!first) new_line(depth, out);
    out += close;
  }

  const JsonStyle& style_;
};

// Builds a value from the events of a JSON text, so that keys keep their order.
class ValueBuilder final : public nlohmann::json_sax<Json> {
 public:
  bool null() override { return add(Value(None{})); }
  bool boolean(bool value) override { return add(Value(value)); }
  bool number_integer(number_integer_t value) override { return add(Value(std::int64_t{value})); }
  bool number_unsigned(number_unsigned_t value) override {
    if (value > INT64_MAX) return refuse("holds a number that is too large");
    return add(Value(static_cast<std::int64_t>(value)));
  }
  bool number_float(number_float_t value, const string_t& written) override {
    // The parser makes a real number of a whole one that does not fit; Python writes all its digits.
    if (written.find_first_of(".eE") == string_t::npos) return refuse("holds a number that is too large");
    return add(Value(double{value}));
  }
  bool string(string_t& value) override { return add(Value(std::move(value))); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(); }
  bool start_array(std::size_t) override { return open(); }
  bool key(string_t& name) override {
    open_.back().keys.push_back(std::move(name));
    return open_.back().keys.size() <= kKeysMax || refuse("has an object with more than 4,096 keys");
  }
  bool end_array() override {
    auto made = Value::of(std::move(open_.back().items));
    open_.pop_back();
    return add(std::move(made));
  }
  bool end_object() override {
    Dict dict;
    auto& last = open_.back();
    for (std::size_t i = 0; i < last.keys.size(); ++i) {
      if (find_member(dict, last.keys[i])) return refuse("has the key '" + last.keys[i] + "' twice in one object");
      dict.emplace_back(std::move(last.keys[i]), std::move(last.items[i]));
    }
    open_.pop_back();
    return add(Value::of(std::move(dict)));
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception&) override {
    return refuse("is not valid JSON at byte " + std::to_string(position));
  }

  Value root;
  std::string problem;

 private:
  struct Open {
    List items;
    std::vector<std::string> keys;
  };
  bool add(Value value) {
    if (open_.empty()) root = std::move(value);
    else open_.back().items.push_back(std::move(value));
    return true;
  }
  bool open() {
    if (open_.size() >= kInputDepthMax) return refuse("is nested too deeply");
    open_.emplace_back();
    return true;
  }
  bool refuse(std::string why) {
    problem = std::move(why);
    return false;
  }
  static constexpr std::size_t kKeysMax = 4096;       // they are looked for one by one
  static constexpr std::size_t kInputDepthMax = 48;  // leaves room for what a template puts around it
  std::vector<Open> open_;
};

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

Value Value::tuple_of(List list) {
  auto made = of(std::move(list));
  made.tuple_ = true;
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

Value Value::iterator_of(List list) {
  const auto all = of(std::move(list));
  auto items = *all.list();
  std::ranges::reverse(items);
  Value made(std::make_shared<Iterator>(Iterator{std::move(items)}));
  made.weight_ = all.weight_;
  made.holds_space_ = all.holds_space_;
  return made;
}

Value Value::marked(std::string text) {
  Value made(std::move(text));
  made.marked_ = true;
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
                             [](const std::shared_ptr<Namespace>&) { return true; }, [](Function) { return true; }, [](Macro) { return true; },
                             [](const std::shared_ptr<Iterator>&) { return true; }},
                    data_);
}

const char* Value::type_name() const {
  static constexpr const char* kNames[] = {"undefined", "none", "boolean", "integer", "float",
                                           "string", "list", "mapping", "namespace", "function", "macro", "generator"};
  return kNames[data_.index()];
}

const Value* find_member(const Dict& dict, std::string_view key) {
  const auto found = std::ranges::find_if(dict, [&](const auto& member) { return member.first == key; });
  return found == dict.end() ? nullptr : &found->second;
}

void set_member(Dict& dict, const std::string& key, Value value) {
  const auto found = std::ranges::find(dict, key, &Dict::value_type::first);
  if (found == dict.end()) dict.emplace_back(key, std::move(value));
  else found->second = std::move(value);
}

bool equal(const Value& a, const Value& b, int depth) {
  if (depth > kDepthMax) return false;
  if (a.is_number() && b.is_number())
    return a.is_integer() && b.is_integer() ? a.integer() == b.integer() : a.number() == b.number();
  if (a.text() && b.text()) return *a.text() == *b.text();
  if (a.list() && b.list())
    return a.is_tuple() == b.is_tuple() && std::ranges::equal(*a.list(), *b.list(), [&](const Value& x, const Value& y) { return equal(x, y, depth + 1); });
  if (a.dict() && b.dict())
    return a.dict()->size() == b.dict()->size() && std::ranges::all_of(*a.dict(), [&](const auto& member) {
             const auto* other = find_member(*b.dict(), member.first);
             return other && equal(member.second, *other, depth + 1);
           });
  if (a.space() || b.space()) return a.space() == b.space();
  if (a.iterator() || b.iterator()) return a.iterator() == b.iterator();
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

std::string escape(const Value& value) {
  const auto text = to_text(value);
  if (value.is_marked()) return text;
  std::string out;
  for (const char c : text) {
    if (c == '&') out += "&amp;";
    else if (c == '<') out += "&lt;";
    else if (c == '>') out += "&gt;";
    else if (c == '\'') out += "&#39;";
    else if (c == '"') out += "&#34;";
    else out += c;
  }
  return out;
}

std::string to_json(const Value& value, const JsonStyle& style) {
  std::string out;
  JsonWriter(style).write(value, 0, out);
  return out;
}

Result<Value> parse_value(std::string_view json, std::string_view where) {
  constexpr std::size_t kBytesMax = 16 << 20;
  if (json.size() > kBytesMax) return fail(ErrorCode::limit_exceeded, "a part of the conversation is longer than 16 MiB", std::string(where));
  ValueBuilder builder;
  // The library takes a NUL for the end of the text.
  if (json.find('\0') != json.npos || !nlohmann::json::sax_parse(json.begin(), json.end(), &builder))
    return fail(ErrorCode::invalid_argument, "a part of the conversation " + builder.problem, std::string(where));
  return std::move(builder.root);
}

}  // namespace redoubt::engine::chat_template
