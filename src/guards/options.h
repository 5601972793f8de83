// SPDX-License-Identifier: Apache-2.0
//
// `deploy.guards` of the pipeline file: what is looked for in what comes into the endpoint and goes out of it, and what is done about it
// (docs/guards.md).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace redoubt::guards {

enum class Direction { input, output };
const char* to_string(Direction direction);

enum class Action {
  ignore,  // not looked for
  log,     // counted
  redact,  // counted, and taken out of the text
  refuse,  // counted; a request is refused, an answer ends before it
};
const char* to_string(Action action);
std::optional<Action> action_of_word(std::string_view word);

// Of each kind that has no action of its own. `hidden` are tag characters, controls of direction and characters without a width.
struct GroupActions {
  Action secrets = Action::ignore, personal = Action::ignore, hidden = Action::ignore;
  std::optional<Action> patterns;  // in the place of what the rules themselves say; ignore: no pack is looked at
};

struct PackFile {
  std::string file;      // a DSSE envelope over rules (rule_pack.h)
  std::string key_file;  // the public key that must have signed it, in PEM
};

struct GuardOptions {
  GroupActions input, output;
  std::map<std::string, Action, std::less<>> kinds;  // of single kinds and rules, before their group
  bool own_rules = true;                             // those that come with the program
  std::vector<PackFile> packs;
  Action canary = Action::ignore;        // log or refuse: a marker in the system's message that no answer may hold
  std::int64_t answer_characters_max = 0;  // 0: no limit
  const GroupActions& of(Direction direction) const { return direction == Direction::input ? input : output; }
};

// invalid_argument names the member.
Result<GuardOptions> read_guards(const Json& json);

}  // namespace redoubt::guards
