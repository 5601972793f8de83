// SPDX-License-Identifier: Apache-2.0
#include "engine/chat_template/list_filters.h"

#include <algorithm>
#include <charconv>

#include "engine/chat_template/text_operations.h"

namespace redoubt::engine::chat_template {
namespace {

struct Keyed {
  Value key, value;
};

// What an item is compared by; of several attributes ("a,b") the first that differs counts.
Result<Value> sort_key(const Value* attribute, const Value& item, const Value* case_sensitive, Budget& budget) {
  if (!attribute || !attribute->text() || attribute->text()->find(',') == std::string::npos) return comparable(TRY(keyed_by(attribute, item, budget)), case_sensitive);
  List parts;
  for (const auto& path : split(*attribute->text(), ",", -1)) parts.push_back(comparable(TRY(attribute_of(item, path, budget)), case_sensitive));
  return Value::of(std::move(parts));
}

// Each item with what it is compared by.
Result<std::vector<Keyed>> keyed(const Value& value, const Value* attribute, const Value* case_sensitive, Budget& budget) {
  std::vector<Keyed> out;
  for (auto& item : TRY(items_of(value, budget))) {
    auto key = TRY(sort_key(attribute, item, case_sensitive, budget));
    TRY(budget.spend(sizeof(Keyed) + key.weight()));
    out.push_back({std::move(key), std::move(item)});
  }
  return out;
}

// Sorts by merging, so that a comparison that fails can stop it.
Status sort_by_key(std::vector<Keyed>& all, bool reverse, Budget& budget) {
  if (all.size() < 2) return {};
  std::vector<Keyed> left(std::make_move_iterator(all.begin()), std::make_move_iterator(all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2)));
  std::vector<Keyed> right(std::make_move_iterator(all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2)), std::make_move_iterator(all.end()));
  TRY(sort_by_key(left, reverse, budget));
  TRY(sort_by_key(right, reverse, budget));
  all.clear();
  std::size_t a = 0, b = 0;
  while (a < left.size() && b < right.size()) {
    TRY(budget.spend(1));
    const auto& [first, second] = std::pair(&left[a].key, &right[b].key);
    const bool takes_right = TRY(apply_binary("<", reverse ? *first : *second, reverse ? *second : *first, budget)).truth();
    all.push_back(std::move(takes_right ? right[b++] : left[a++]));
  }
  std::move(left.begin() + static_cast<std::ptrdiff_t>(a), left.end(), std::back_inserter(all));
  std::move(right.begin() + static_cast<std::ptrdiff_t>(b), right.end(), std::back_inserter(all));
  return {};
}

List values_of(std::vector<Keyed> all) {
  List out;
  for (auto& one : all) out.push_back(std::move(one.value));
  return out;
}

Result<Value> extreme(const Value& value, const Given& given, const char* sign, Budget& budget) {
  auto all = TRY(keyed(value, given.find(1, "attribute"), given.find(0, "case_sensitive"), budget));
  if (all.empty()) return Value();
  std::size_t best = 0;
  for (std::size_t i = 1; i < all.size(); ++i)
    if (TRY(apply_binary(sign, all[i].key, all[best].key, budget)).truth()) best = i;
  return std::move(all[best].value);
}

}  // namespace

Result<Value> attribute_of(const Value& item, std::string_view path, Budget& budget) {
  Value at = item;
  for (const auto& part : split(path, ".", -1)) {
    if (at.is_undefined()) return budget.bad("reads '" + part + "' of something that is not defined");
    std::size_t index = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), index);
    const bool number = error == std::errc{} && end == part.data() + part.size();
    Value next;
    if (number && at.list() && index < at.list()->size()) next = (*at.list())[index];
    const auto* member = at.dict() ? find_member(*at.dict(), part) : nullptr;
    if (!number && member) next = *member;
    if (!number && !member && has_method(at, part)) next = Function::method;
    at = std::move(next);
  }
  return at;
}

Result<Value> keyed_by(const Value* attribute, const Value& item, Budget& budget) {
  if (attribute && attribute->text()) return attribute_of(item, *attribute->text(), budget);
  if (attribute && attribute->is_integer()) return attribute_of(item, std::to_string(attribute->integer()), budget);
  return item;
}

Value comparable(const Value& value, const Value* case_sensitive) {
  return value.text() && !(case_sensitive && case_sensitive->truth()) ? Value(lower(*value.text())) : value;
}

Result<Value> sort_filter(const Value& value, const Given& given, Budget& budget) {
  const auto *reverse = given.find(0, "reverse"), *attribute = given.find(2, "attribute");
  auto all = TRY(keyed(value, attribute, given.find(1, "case_sensitive"), budget));
  TRY(sort_by_key(all, reverse && reverse->truth(), budget));
  return Value::of(values_of(std::move(all)));
}

Result<Value> dictsort_filter(const Value& value, const Given& given, Budget& budget) {
  if (!value.dict()) return budget.bad("sorts something by its keys that is no mapping");
  const auto *by = given.find(1, "by"), *reverse = given.find(2, "reverse");
  const bool by_value = by && by->text() && *by->text() == "value";
  std::vector<Keyed> all;
  for (const auto& [key, item] : *value.dict()) {
    TRY(budget.spend(sizeof(Keyed) + key.size()));
    all.push_back({comparable(by_value ? item : Value(key), given.find(0, "case_sensitive")), Value::tuple_of(List{Value(key), item})});
  }
  TRY(sort_by_key(all, reverse && reverse->truth(), budget));
  return Value::of(values_of(std::move(all)));
}

Result<Value> sum_filter(const Value& value, const Given& given, Budget& budget) {
  const auto *attribute = given.find(0, "attribute"), *start = given.find(1, "start");
  Value sum = start ? *start : Value(std::int64_t{0});
  for (const auto& item : TRY(items_of(value, budget))) {
    const auto part = TRY(keyed_by(attribute, item, budget));
    sum = TRY(apply_binary("+", sum, part, budget));
  }
  return sum;
}

Result<Value> min_filter(const Value& value, const Given& given, Budget& budget) { return extreme(value, given, "<", budget); }
Result<Value> max_filter(const Value& value, const Given& given, Budget& budget) { return extreme(value, given, ">", budget); }

Result<Value> unique_filter(const Value& value, const Given& given, Budget& budget) {
  auto all = TRY(keyed(value, given.find(1, "attribute"), given.find(0, "case_sensitive"), budget));
  std::vector<Keyed> kept;
  for (auto& one : all) {
    TRY(budget.spend(kept.size()));  // the search below is a step for each
    if (std::ranges::none_of(kept, [&](const Keyed& other) { return equal(one.key, other.key); })) kept.push_back(std::move(one));
  }
  return Value::iterator_of(values_of(std::move(kept)));
}

Result<Value> batch_filter(const Value& value, const Given& given, Budget& budget) {
  const auto *count = given.find(0, "linecount"), *fill = given.find(1, "fill_with");
  if (!count || !count->is_integer() || count->integer() < 1 || count->integer() > 100'000) return budget.bad("calls batch without a count");
  const auto size = static_cast<std::size_t>(count->integer());
  List rows, row;
  const auto flush = [&] {
    rows.push_back(Value::of(std::move(row)));
    row = {};
  };
  for (auto& item : TRY(items_of(value, budget))) {
    if (row.size() == size) flush();
    row.push_back(std::move(item));
  }
  if (row.empty()) return Value::iterator_of(std::move(rows));
  if (fill && !fill->is_none()) {
    TRY(budget.spend(size * fill->weight()));
    row.resize(size, *fill);
  }
  flush();
  return Value::iterator_of(std::move(rows));
}

}  // namespace redoubt::engine::chat_template
