// SPDX-License-Identifier: Apache-2.0
#include "guards/options.h"

#include <algorithm>
#include <array>

#include "base/json_members.h"
#include "base/schema.h"
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

bool is_guarded(const detectors::Kind& kind) {
  using enum detectors::Group;
  return kind.group == secrets || kind.group == personal || kind.group == hidden;
}

// A name in capitals is a detector's kind; rules have names of their own.
Status check_kind(const std::string& name) {
  const bool is_rule = std::any_of(name.begin(), name.end(), [](char c) { return c >= 'a' && c <= 'z'; });
  const auto* kind = detectors::find_kind(name);
  if (is_rule || (kind != nullptr && is_guarded(*kind))) return {};
  std::vector<std::string> known;
  for (const auto& one : detectors::all_kinds())
    if (is_guarded(one)) known.emplace_back(one.name);
  const auto near = nearest_word(name, known);
  return wrong("kinds: " + name + " is no kind of secret, personal data or hidden character", near.empty() ? "the kinds are those of the data check: docs/data.md" : "did you mean '" + near + "'?");
}

constexpr std::size_t kTopicsMax = 64, kExamplesMax = 100, kExampleBytesMax = 400;
constexpr double kPerplexityMaxMax = 1e9;

// log or refuse: of what the model reads there is no place that could be taken out.
Result<Action> log_or_refuse(const Json& object, const char* name, const std::string& of) {
  if (!object.contains(name)) return Action::refuse;
  const auto action = TRY(action_in(object, name));
  if (action == Action::ignore || action == Action::redact) return wrong(of + "." + name + " is log or refuse");
  return action;
}

bool is_topic_name(const std::string& name) {
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
}

Result<Topic> topic_of(const Json& json) {
  TRY(only_members(json, {"name", "examples", "threshold", "action"}, kWhere));
  Topic topic;
  topic.name = TRY(json_string(json, "name", kWhere));
  if (!is_topic_name(topic.name)) return wrong("reading.topics: a name has 1 to 64 small letters, digits and hyphens");
  const auto of = "reading.topics: " + topic.name;
  for (const auto& example : TRY(json_array(json, "examples", kWhere))) {
    if (!example.is_string() || example.get_ref<const std::string&>().empty() || example.get_ref<const std::string&>().size() > kExampleBytesMax)
      return wrong(of + ": an example is a text of 1 to " + std::to_string(kExampleBytesMax) + " bytes");
    topic.examples.push_back(example.get<std::string>());
  }
  if (topic.examples.empty() || topic.examples.size() > kExamplesMax) return wrong(of + " has 1 to " + std::to_string(kExamplesMax) + " examples");
  if (json.contains("threshold")) topic.threshold = TRY(json_number(json, "threshold", kWhere));
  if (!(topic.threshold > 0 && topic.threshold < 1)) return wrong(of + ": the threshold lies between 0 and 1");
  topic.action = TRY(log_or_refuse(json, "action", of));
  return topic;
}

Result<Anomaly> anomaly_of(const Json& json) {
  TRY(only_members(json, {"perplexity_max", "window", "action"}, kWhere));
  Anomaly anomaly;
  if (json.contains("perplexity_max")) anomaly.perplexity_max = TRY(json_number(json, "perplexity_max", kWhere));
  if (!(anomaly.perplexity_max > 1 && anomaly.perplexity_max <= kPerplexityMaxMax)) return wrong("reading.anomaly: perplexity_max is above 1 and at most 1e9");
  const auto window = json_or(json, "window", std::int64_t{anomaly.window});
  if (window < 4 || window > 1024) return wrong("reading.anomaly: window is from 4 to 1024 tokens");
  anomaly.window = static_cast<int>(window);
  anomaly.action = TRY(log_or_refuse(json, "action", "reading.anomaly"));
  return anomaly;
}

Result<ReadingOptions> reading_of(const Json& json) {
  TRY(only_members(json, {"topics", "anomaly", "time_ms_max", "unread"}, kWhere));
  ReadingOptions reading;
  for (const auto& one : json_or(json, "topics", Json::array())) {
    auto topic = TRY(topic_of(one));
    if (std::any_of(reading.topics.begin(), reading.topics.end(), [&](const auto& other) { return other.name == topic.name; })) return wrong("reading.topics: two have the name " + topic.name);
    reading.topics.push_back(std::move(topic));
  }
  if (reading.topics.size() > kTopicsMax) return wrong("reading.topics: more than " + std::to_string(kTopicsMax));
  if (json.contains("anomaly")) reading.anomaly = TRY(anomaly_of(json["anomaly"]));
  if (!reading.looks()) return wrong("reading has topics, an anomaly, or both");
  const auto time = json_or(json, "time_ms_max", std::int64_t{reading.time_ms_max});
  if (time < 100 || time > 60'000) return wrong("reading.time_ms_max is from 100 to 60000");
  reading.time_ms_max = static_cast<int>(time);
  reading.unread = TRY(log_or_refuse(json, "unread", "reading"));
  return reading;
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
  TRY(only_members(json, {"input", "output", "kinds", "own_rules", "packs", "canary", "answer_characters_max", "reading"}, kWhere));
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
  if (json.contains("reading")) options.reading = TRY(reading_of(json["reading"]));
  options.answer_characters_max = json_or(json, "answer_characters_max", std::int64_t{0});
  if (options.answer_characters_max < 0 || options.answer_characters_max > kAnswerCharactersMax) return wrong("answer_characters_max is out of bounds");
  return options;
}

}  // namespace redoubt::guards
