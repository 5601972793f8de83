// SPDX-License-Identifier: Apache-2.0
//
// Looks at a text with everything that is looked for in one direction.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "detectors/detectors.h"
#include "detectors/json_text.h"
#include "guards/expression.h"
#include "guards/options.h"
#include "guards/rule_pack.h"

namespace redoubt::guards {

// What was found: its group ("secrets", "personal", "hidden", "patterns", "canary", "unscannable"), its kind or rule, and what is done.
struct Hit {
  Direction direction = Direction::input;
  std::string group, kind;
  Action action = Action::log;
};

struct Finding {
  std::size_t begin = 0, end = 0;  // bytes of the text
  std::string_view kind;           // a detector's, a rule's id, or kCanary
  const char* group = "";
  Action action = Action::log;
  bool open = false;  // more text would make it longer
};

inline constexpr std::string_view kCanary = "canary", kUnscannable = "UNSCANNABLE";

struct Looked {
  std::vector<Finding> findings;       // in the order of their places
  std::size_t decided = 0;             // up to here nothing changes by what follows
  std::optional<detectors::JsonText> seen;  // the text as detectors see it, where that is not the text itself
  std::size_t raw(std::size_t at) const { return seen ? seen->places.raw(at) : at; }
};

// Safe to use from several threads.
class Scanner {
 public:
  // `canary`: a marker of small letters and digits; empty: none is looked for.
  static Result<std::unique_ptr<Scanner>> create(Direction direction, const GuardOptions& options, const std::vector<PatternRule>& rules, const std::string& canary);
  // `from`: matches of rules that begin before it were told. The text is UTF-8.
  Looked look(std::string_view text, std::size_t from, Text is) const;
  // Up to where the text is decided, if no rule says otherwise: a look is needed only where this goes on.
  static std::size_t decided_at_most(std::string_view text);
  Direction direction() const { return direction_; }
  // The strongest of all actions.
  Action strongest() const { return strongest_; }

 private:
  struct Rule {
    std::string id;
    const char* group;
    Action action;
    Expression expression;
  };
  Scanner() = default;
  Action action_of(std::string_view kind) const;
  void apply(const Rule& rule, std::string_view seen, std::size_t from, Text is, Looked& looked) const;

  Direction direction_ = Direction::input;
  Action strongest_ = Action::ignore;
  std::map<std::string, Action, std::less<>> kinds_;  // of detectors; what is not there is ignored
  std::unique_ptr<detectors::Detectors> detectors_;   // null: none is wanted
  std::vector<Rule> rules_;
};

}  // namespace redoubt::guards
