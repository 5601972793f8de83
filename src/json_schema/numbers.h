// SPDX-License-Identifier: Apache-2.0
//
// Numbers of JSON, also within bounds.
#pragma once

#include <optional>

#include "base/json.h"
#include "json_schema/grammar.h"

namespace redoubt::json_schema {

// So that every reader gets the number that was meant: 18 digits fit 64 bits, 15 significant ones are told apart by a double.
inline constexpr std::size_t kIntegerDigitsMax = 18, kDecimalDigitsMax = 15;

struct NumberBounds {
  std::optional<Json> least = {}, most = {};  // numbers
  bool least_excluded = false, most_excluded = false;
  bool unbounded() const { return !least && !most; }
};

// Integers of up to 18 digits, without exponent or fraction.
void add_integer(Grammar& grammar, StateId from, const NumberBounds& bounds, StateId to);
// Without bounds: up to 18 digits before and 17 after the point, and an exponent of up to two. With bounds: up to 15 digits together
// and no exponent, so that a reader's rounding can't carry the value over a bound.
void add_number(Grammar& grammar, StateId from, const NumberBounds& bounds, StateId to);

}  // namespace redoubt::json_schema
