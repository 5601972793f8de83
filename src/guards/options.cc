// SPDX-License-Identifier: Apache-2.0
#include "guards/options.h"

#include <algorithm>
#include <array>

#include "base/json_members.h"
#include "detectors/kinds.h"

namespace redoubt::guards {
namespace {

constexpr std::string_view kWhere = "deploy.guards";
constexpr std::array<const char*, 4> kActions = {"ignore", "log", "redact", "refuse"};
constexpr std::int64_t kAnswerCharactersMax = 100'000'000;

tl::unexpected<Error> wrong(std::string what, std::string hint = {}) { return fail(ErrorCode::invalid_argument, std::move(what), std::string(kWhere), std::move(hint)); }

Result<Action> action_in(const Json& object, const std::string& name) {
  const auto action = object[name].is_string() ? action_of_word(object[name].get<std::string>()) : std::nullopt;
  if (!action) return wrong(name + " must be ignore, log, redact or refuse");
  return *action;
}

Result<GroupActions> groups_of(const Json& json) {
  TRY(only_members(json, {"secrets", "personal", "hidden", "patterns"}, kWhere));
  GroupActions groups;
  if (json.contains("secrets")) groups.secrets = TRY(action_in(json, "secrets"));
  if (json.contains("personal")) groups.personal = TRY(action_in(json, "personal"));
  if (json.contains("hidden")) groups.hidden = TRY(action_in(json, "hidden"));
  if (json.contains("patterns")) groups.patterns = TRY(action_in(json, "patterns"));
  return groups;
}

// A name in capitals is a detector's kind; rules have names of their own.
Status check_kind(const std::string& name) {
  const bool is_rule = std::any_of(name.begin(), name.end(), [](char c) { return c >= 'a' && c <= 'z'; });
  const auto* kind = detectors::find_kind(name);
  using enum detectors::Group;
  if (is_rule || (kind != nullptr && (kind->group == secrets || kind->group == personal || kind->group == hidden))) return {};
  return wrong("kinds: " + name + " is no kind of secret, personal data or hidden character", "'redoubt data kinds' lists them");
}

}  // namespace

const char* to_string(Direction direction) { return direction == Direction::input ? "input" : "output"; }
const char* to_string(Action action) { return kActions[static_cast<std::size_t>(action)]; }

std::optional<Action> action_of_word(std::string_view word) {
  const auto found = std::find(kActions.begin(), kActions.end(), word);
  if (found == kActions.end()) return std::nullopt;
  return static_cast<Action>(found - kActions.begin());
}

Result<GuardOptions> read_guards(const Json& json) {
  TRY(only_members(json, {"input", "output", "kinds", "own_rules", "packs", "canary", "answer_characters_max"}, kWhere));
  GuardOptions options;
  if (json.contains("input")) options.input = TRY(groups_of(json["input"]));
  if (json.contains("output")) options.output = TRY(groups_of(json["output"]));
  const auto kinds = json_or(json, "kinds", Json::object());
  if (!kinds.is_object()) return wrong("kinds must be an object");
  for (const auto& [name, unused] : kinds.items()) {
    TRY(check_kind(name));
    options.kinds[name] = TRY(action_in(kinds, name));
  }
  options.own_rules = json_or(json, "own_rules", true);
  for (const auto& pack : json_or(json, "packs", Json::array())) {
    TRY(only_members(pack, {"file", "key_file"}, kWhere));
    PackFile file;
    file.file = TRY(json_string(pack, "file", kWhere));
    file.key_file = TRY(json_string(pack, "key_file", kWhere));
    options.packs.push_back(std::move(file));
  }
  if (json.contains("canary")) options.canary = TRY(action_in(json, "canary"));
  if (options.canary == Action::redact) return wrong("canary is ignore, log or refuse", "an answer that holds the marker has told the system's message");
  options.answer_characters_max = json_or(json, "answer_characters_max", std::int64_t{0});
  if (options.answer_characters_max < 0 || options.answer_characters_max > kAnswerCharactersMax) return wrong("answer_characters_max is out of bounds");
  return options;
}

}  // namespace redoubt::guards
