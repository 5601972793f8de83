// SPDX-License-Identifier: Apache-2.0
#include "json_schema/grammar.h"

#include <algorithm>

namespace redoubt::json_schema {

namespace {
constexpr std::uint32_t kHeightRoundsMax = 300;  // each costs as much as there are states
}

StateId Grammar::add_state() {
  if (states_.size() >= limits_.states_max) {
    too_large_ = true;
    return 0;
  }
  states_.emplace_back();
  return static_cast<StateId>(states_.size() - 1);
}

RuleId Grammar::add_rule() {
  const auto start = add_state();
  rules_.push_back({start});
  return static_cast<RuleId>(rules_.size() - 1);
}

void Grammar::text(StateId from, std::string_view text, StateId to) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<std::uint8_t>(text[i]);
    const auto next = i + 1 == text.size() ? to : add_state();
    bytes(from, byte, byte, next);
    from = next;
  }
  if (text.empty()) free(from, {to});
}

std::uint32_t Grammar::height_of_call(const CallEdge& call) const {
  const auto height = states_[rules_[call.rule].start].height;
  return height == kUnbounded ? height : height + (call.nesting == Nesting::deeper);
}

// One round of the fixpoint height(state) = min over its edges of max(what the edge calls, where it leads).
bool Grammar::lower_heights() {
  bool changed = false;
  for (auto at = states_.rbegin(); at != states_.rend(); ++at) {
    auto& state = *at;
    auto height = state.ends ? 0 : kUnbounded;
    for (const auto& edge : state.bytes) height = std::min(height, states_[edge.to].height);
    for (const auto& edge : state.free) height = std::min(height, states_[edge.to].height);
    for (const auto& edge : state.calls) height = std::min(height, std::max(states_[edge.to].height, height_of_call(edge)));
    if (height >= state.height) continue;
    state.height = height;
    changed = true;
  }
  return changed;
}

// A rule that may call itself before a byte came would never end. Rules are entered at their start; which rules may be empty does not
// matter, since a rule of a value never is.
Status Grammar::check_left_recursion() const {
  enum class Mark : std::uint8_t { fresh, open, done };
  std::vector<Mark> marks(states_.size(), Mark::fresh);
  // Depth-first over free edges and calls, without recursion: a schema must not decide how deep our stack gets.
  struct Visit {
    StateId state;
    std::size_t next = 0;
  };
  for (const auto& rule : rules_) {
    std::vector<Visit> path;
    const auto enter = [&](StateId state) {
      if (marks[state] == Mark::open) return false;
      if (marks[state] == Mark::done) return true;
      marks[state] = Mark::open;
      path.push_back({state});
      return true;
    };
    if (!enter(rule.start)) return fail(ErrorCode::internal, "a rule is open twice");
    while (!path.empty()) {
      auto& visit = path.back();
      const auto& state = states_[visit.state];
      const auto next = visit.next++;
      bool fine = true;
      if (next < state.free.size()) fine = enter(state.free[next].to);
      else if (next < state.free.size() + state.calls.size()) fine = enter(rules_[state.calls[next - state.free.size()].rule].start);
      else marks[visit.state] = Mark::done, path.pop_back();
      if (!fine) return fail(ErrorCode::invalid_argument, "a schema refers to itself without a value between");
    }
  }
  return {};
}

Status Grammar::finish(RuleId root) {
  const auto too_large = [] { return fail(ErrorCode::limit_exceeded, "the schema is too large"); };
  if (too_large_) return too_large();
  root_ = root;
  for (auto& state : states_) state.height = kUnbounded;
  for (std::uint32_t rounds = 0; lower_heights(); ++rounds)
    if (rounds > kHeightRoundsMax) return too_large();
  const auto height = states_[rules_[root].start].height;
  if (height == kUnbounded) return fail(ErrorCode::invalid_argument, "no finite value fits the schema");
  if (height > limits_.depth_max)
    return fail(ErrorCode::limit_exceeded, "every value that fits the schema is nested deeper than " + std::to_string(limits_.depth_max));
  return check_left_recursion();
}

}  // namespace redoubt::json_schema
