// SPDX-License-Identifier: Apache-2.0
//
// Jinja's filters that walk over lists and dicts.
#pragma once

#include "engine/chat_template/interpreter.h"

namespace redoubt::engine::chat_template {

// What Jinja finds under "a.b.0" of an item; undefined where there is nothing, an error below what is not defined.
Result<Value> attribute_of(const Value& item, std::string_view path, Budget& budget);
// The item itself, or what `attribute` (a path as text, or a place in a list) names of it.
Result<Value> keyed_by(const Value* attribute, const Value& item, Budget& budget);
// The letters of a text as a filter compares them: lower case, unless it was told otherwise.
Value comparable(const Value& value, const Value* case_sensitive);

Result<Value> sort_filter(const Value& value, const Given& given, Budget& budget);
Result<Value> dictsort_filter(const Value& value, const Given& given, Budget& budget);
Result<Value> sum_filter(const Value& value, const Given& given, Budget& budget);
Result<Value> min_filter(const Value& value, const Given& given, Budget& budget);
Result<Value> max_filter(const Value& value, const Given& given, Budget& budget);
Result<Value> unique_filter(const Value& value, const Given& given, Budget& budget);
Result<Value> batch_filter(const Value& value, const Given& given, Budget& budget);

}  // namespace redoubt::engine::chat_template
