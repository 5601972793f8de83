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

// A topic by sentences of it: a piece of a prompt whose embedding lies as near to one of them as `threshold` or nearer is of it.
struct Topic {
  std::string name;                   // small letters, digits and hyphens
  std::vector<std::string> examples;  // each within some hundred bytes, as prompts are
  double threshold = 0.6;             // of the cosine
  Action action = Action::refuse;     // or log
};

// A prompt that is like no language: the perplexity, under the served model, of `window` tokens in a row.
struct Anomaly {
  double perplexity_max = 20'000;
  int window = 16;
  Action action = Action::refuse;  // or log
};

inline constexpr std::string_view kPerplexity = "PERPLEXITY", kUnread = "UNREAD";

// What the model itself reads a prompt for before it is answered.
struct ReadingOptions {
  std::vector<Topic> topics;
  std::optional<Anomaly> anomaly;
  int time_ms_max = 5'000;         // until it was read
  Action unread = Action::refuse;  // of one that was not read in time; log: it passes
  bool looks() const { return anomaly || !topics.empty(); }
};

struct GuardOptions {
  GroupActions input, output;
  std::map<std::string, Action, std::less<>> kinds;  // of single kinds and rules, before their group
  bool own_rules = true;                             // those that come with the program
  std::vector<PackFile> packs;
  Action canary = Action::ignore;        // log or refuse: a marker in the system's message that no answer may hold
  std::int64_t answer_characters_max = 0;  // 0: no limit
  ReadingOptions reading;                  // of requests
  const GroupActions& of(Direction direction) const { return direction == Direction::input ? input : output; }
};

// invalid_argument names the member.
Result<GuardOptions> read_guards(const Json& json);

}  // namespace redoubt::guards
