// SPDX-License-Identifier: Apache-2.0
//
// Every kind of finding in data, and what may be done about it.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace redoubt::detectors {

enum class Action {
  ignore,  // not looked for, or not told
  warn,    // told
  redact,  // taken out of the text; the row stays
  drop,    // the row is left out
  stop,    // the file is refused
};
const char* to_string(Action action);
std::optional<Action> action_of_word(std::string_view word);

enum class Group { rows, secrets, personal, hidden, language, duplicates, leakage, words, triggers };
const char* to_string(Group group);
std::optional<Group> group_of_word(std::string_view word);

struct Kind {
  const char* name;
  Group group;
  Action by_default;
  const char* meaning;
};

std::span<const Kind> all_kinds();
// Null for a name that is none.
const Kind* find_kind(std::string_view name);
std::vector<std::string> kind_names();
// What may be done about it: only what has a place in a text can be redacted, a row that can't be read can't stay, a file can't
// be dropped.
std::vector<Action> allowed_actions(const Kind& kind);

}  // namespace redoubt::detectors
