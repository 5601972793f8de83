// SPDX-License-Identifier: Apache-2.0
//
// The values of a template, with Python's meaning of truth, equality, length and text.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"

namespace redoubt::engine::chat_template {

class Value;
using List = std::vector<Value>;
using Dict = std::vector<std::pair<std::string, Value>>;  // in the order of insertion

struct Undefined {
  bool operator==(const Undefined&) const = default;
};
struct None {
  bool operator==(const None&) const = default;
};
// The only object that a template can set something in: `namespace(x=1)`.
struct Namespace {
  Dict members;
};
// What `map`, `select` and their like make: it is walked over once, is true even when nothing is left, and has no length.
struct Iterator;
// A function that a template can call by its global name. `method` is what a name like `items` of a dict is when it is not
// called: it is true and defined, and nothing can be done with it.
enum class Function { range, make_namespace, make_dict, raise_exception, strftime_now, method };
struct Statement;
// A macro, and how many of the scopes it may see: those that were there when it was defined.
struct Macro {
  const Statement* definition = nullptr;
  std::size_t scopes = 0;
};

class Value {
 public:
  using Data = std::variant<Undefined, None, bool, std::int64_t, double, std::string, std::shared_ptr<const List>,
                            std::shared_ptr<const Dict>, std::shared_ptr<Namespace>, Function, Macro, std::shared_ptr<Iterator>>;
  Value() = default;
  template <class T>
    requires(!std::is_same_v<std::decay_t<T>, Value>)
  Value(T&& data) : data_(std::forward<T>(data)) {}
  static Value of(List list);
  // Like a list but for how it is written and what it equals.
  static Value tuple_of(List list);
  static Value of(Dict dict);
  static Value iterator_of(List list);
  // Text that `safe` marked: text that is added to it is escaped for HTML first, as Jinja's Markup does.
  static Value marked(std::string text);

  // How many bytes writing the value out takes, about; what stands in a value twice counts twice. Never overflows.
  std::size_t weight() const;
  // Whether a namespace is this value or within it.
  bool holds_space() const { return holds_space_ || space(); }

  bool is_undefined() const { return std::holds_alternative<Undefined>(data_); }
  bool is_none() const { return std::holds_alternative<None>(data_); }
  bool is_bool() const { return std::holds_alternative<bool>(data_); }
  bool is_integer() const { return std::holds_alternative<std::int64_t>(data_); }
  bool is_number() const { return is_integer() || is_bool() || std::holds_alternative<double>(data_); }
  const std::string* text() const { return std::get_if<std::string>(&data_); }
  const List* list() const { return pointed<std::shared_ptr<const List>>(); }
  const Dict* dict() const { return pointed<std::shared_ptr<const Dict>>(); }
  Namespace* space() const {
    const auto* held = std::get_if<std::shared_ptr<Namespace>>(&data_);
    return held ? held->get() : nullptr;
  }
  const Function* function() const { return std::get_if<Function>(&data_); }
  const Macro* macro() const { return std::get_if<Macro>(&data_); }
  Iterator* iterator() const {
    const auto* held = std::get_if<std::shared_ptr<Iterator>>(&data_);
    return held ? held->get() : nullptr;
  }
  bool is_tuple() const { return tuple_; }
  bool is_marked() const { return marked_; }
  bool is_callable() const { return function() || macro(); }
  // Booleans count as 0 and 1, as in Python; only for is_number.
  double number() const;
  std::int64_t integer() const;

  bool truth() const;
  // "string", "int", ... for messages.
  const char* type_name() const;

 private:
  template <class Pointer>
  auto pointed() const -> decltype(std::declval<Pointer>().get()) {
    const auto* held = std::get_if<Pointer>(&data_);
    return held ? held->get() : nullptr;
  }
  Data data_;
  std::size_t weight_ = 1;  // of a list or dict
  bool holds_space_ = false, tuple_ = false, marked_ = false;
};

struct Iterator {
  List items;  // those that are left, the next one last
};

// The value under a key of a dict or namespace; null when there is none.
const Value* find_member(const Dict& dict, std::string_view key);
// Puts a value under a key, where it stands or at the end.
void set_member(Dict& dict, const std::string& key, Value value);

bool equal(const Value& a, const Value& b, int depth = 0);
// What `{{ value }}` writes (Python's str).
std::string to_text(const Value& value);
// The same with & < > ' " as HTML has them, unless the text is marked.
std::string escape(const Value& value);
// Python's json.dumps, with what Transformers' tojson filter sets.
struct JsonStyle {
  int indent = -1;  // below 0 is one line
  bool ascii = false, sorts_keys = false;
  std::string between_items = {}, after_key = ": ";  // no `between_items` is ", " on one line and "," on several
};
std::string to_json(const Value& value, const JsonStyle& style);

// A JSON text as a value, its keys in their order. `where` names the text in errors.
Result<Value> parse_value(std::string_view json, std::string_view where);

}  // namespace redoubt::engine::chat_template
