// SPDX-License-Identifier: Apache-2.0
//
// Runs a parsed template under limits.
#pragma once

#include <optional>
#include <string_view>

#include "engine/chat_template/chat_template.h"
#include "engine/chat_template/program.h"

namespace redoubt::engine::chat_template {

// The values that a call, filter or test was given.
struct Given {
  List positional;
  Dict named;

  // The argument at a place or under a name; null when it was not given.
  const Value* find(std::size_t place, std::string_view name) const;
};

// What all parts of one rendering count on.
class Budget {
 public:
  Budget(const Limits& limits, const std::string& where) : limits_(limits), where_(where) {}
  Status step(int line);
  // Counts bytes that a rendering makes.
  Status spend(std::size_t bytes);
  tl::unexpected<Error> bad(std::string what, ErrorCode code = ErrorCode::invalid_argument) const;

 private:
  const Limits& limits_;
  const std::string& where_;
  std::size_t steps_ = 0, bytes_ = 0;
  int line_ = 1;
};

Result<Value> apply_filter(const std::string& name, const Value& value, const Given& given, Budget& budget);
Result<bool> apply_test(const std::string& name, const Value& value, const Given& given, Budget& budget);
Result<Value> call_method(const Value& value, const std::string& name, const Given& given, Budget& budget);
// Whether a value has a method of this name that does not change it. Jinja finds it before a dict's own member when it is
// written with a dot, and after it in brackets.
bool has_method(const Value& value, std::string_view name);
// `now` is the time that strftime_now tells, in seconds since 1970, UTC.
Result<Value> call_function(Function function, const Given& given, std::int64_t now, Budget& budget);
Result<Value> apply_binary(const std::string& name, const Value& left, const Value& right, Budget& budget);
// What a loop or a filter walks over: a list's items, a dict's keys, a text's characters; undefined is empty.
Result<List> items_of(const Value& value, Budget& budget);
// An error for a value whose text Python would not write twice the same.
Status check_written(const Value& value, Budget& budget);
Result<bool> contains(const Value& all, const Value& one, Budget& budget);

struct Rendering {
  const Dict& globals;
  std::int64_t now = 0;
};
Result<MarkedText> run_program(const Program& program, const Rendering& rendering, const Limits& limits, const std::string& where);

}  // namespace redoubt::engine::chat_template
