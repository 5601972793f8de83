// SPDX-License-Identifier: Apache-2.0
//
// A language of byte strings as a pushdown automaton: rules that call one another, each a small automaton over bytes. Built once
// from a schema, immutable afterwards; `Machine` runs it.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace redoubt::json_schema {

using StateId = std::uint32_t;
using RuleId = std::uint32_t;

inline constexpr std::uint32_t kUnbounded = std::numeric_limits<std::uint32_t>::max();

// Bounds against schemas that are made to cost: what exceeds one is limit_exceeded.
struct GrammarLimits {
  std::size_t states_max = 100'000;
  std::uint32_t depth_max = 64;  // objects and arrays within one another in an answer
};

// Whether a call opens an object's or an array's inside.
enum class Nesting : std::uint8_t { same, deeper };

struct ByteEdge {
  std::uint8_t low, high;
  StateId to;
};
struct CallEdge {
  RuleId rule;
  StateId to;  // where the caller goes on
  Nesting nesting;
};
// Taken without a byte where the count of the present call lies in [least, most]. Then `add` is added to it, up to `cap`: beyond that
// no guard of the rule tells counts apart.
struct FreeEdge {
  StateId to;
  std::uint32_t least = 0, most = kUnbounded, add = 0, cap = 0;
};

struct State {
  std::vector<ByteEdge> bytes = {};
  std::vector<CallEdge> calls = {};
  std::vector<FreeEdge> free = {};
  bool ends = false;         // the rule may end here
  std::uint32_t height = 0;  // how much deeper the shortest way to the rule's end nests; kUnbounded: there is none
};

struct Rule {
  StateId start = 0;
};

class Grammar {
 public:
  explicit Grammar(GrammarLimits limits = {}) : limits_(limits) {}

  // Building. A builder that made too many states goes on with state 0, and `finish` fails.
  StateId add_state();
  RuleId add_rule();
  StateId start_of(RuleId rule) const { return rules_[rule].start; }
  void end_at(StateId state) { states_[state].ends = true; }
  void bytes(StateId from, std::uint8_t low, std::uint8_t high, StateId to) { states_[from].bytes.push_back({low, high, to}); }
  // The text, byte by byte, over new states to `to`.
  void text(StateId from, std::string_view text, StateId to);
  void free(StateId from, FreeEdge edge) { states_[from].free.push_back(edge); }
  void call(StateId from, RuleId rule, StateId to, Nesting nesting = Nesting::same) { states_[from].calls.push_back({rule, to, nesting}); }

  // The language is the rule's. limit_exceeded for too many states or a value that can only be nested too deep; invalid_argument
  // when nothing finite fits, or a rule calls itself before any byte.
  Status finish(RuleId root);

  const State& state(StateId id) const { return states_[id]; }
  const Rule& rule(RuleId id) const { return rules_[id]; }
  RuleId root() const { return root_; }
  std::uint32_t depth_max() const { return limits_.depth_max; }
  std::size_t states() const { return states_.size(); }
  bool is_too_large() const { return too_large_; }  // to go on building is of no use

 private:
  bool lower_heights();
  std::uint32_t height_of_call(const CallEdge& call) const;
  Status check_left_recursion() const;

  GrammarLimits limits_;
  std::vector<State> states_;
  std::vector<Rule> rules_;
  RuleId root_ = 0;
  bool too_large_ = false;
};

}  // namespace redoubt::json_schema
