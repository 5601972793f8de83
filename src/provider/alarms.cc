// SPDX-License-Identifier: Apache-2.0
#include "provider/alarms.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

namespace redoubt::provider {
namespace {

constexpr std::array<const char*, 3> kAlarmStates = {"INSUFFICIENT_DATA", "OK", "ALARM"};
constexpr int kCountMax = 1'000'000;
constexpr const char* kNameCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

Result<int> count_of(const Json& item, const char* key) {
  const auto count = TRY(json_integer(item, key, "alarm"));
  if (count < 0 || count > kCountMax) return fail(ErrorCode::invalid_argument, "a count of the saved alarms is out of range", key);
  return static_cast<int>(count);
}

}  // namespace

const char* to_string(AlarmState state) { return kAlarmStates[static_cast<std::size_t>(state)]; }

Result<AlarmState> parse_alarm_state(std::string_view text) {
  const auto found = std::find(kAlarmStates.begin(), kAlarmStates.end(), text);
  if (found == kAlarmStates.end()) return fail(ErrorCode::invalid_argument, "not a state of an alarm: " + std::string(text));
  return static_cast<AlarmState>(found - kAlarmStates.begin());
}

Json Alarm::to_json() const {
  return {{"name", definition.name}, {"description", definition.description}, {"limit", definition.limit}, {"state", to_string(state)}, {"over", over},
          {"failures", failures}, {"open", open}, {"value", value ? Json(*value) : Json(nullptr)}, {"changed", changed}};
}

Result<Alarm> parse_alarm(const Json& saved) {
  Alarm alarm;
  alarm.definition.name = TRY(json_string(saved, "name", "alarm"));
  alarm.definition.description = json_or(saved, "description", "");
  alarm.definition.limit = json_or(saved, "limit", 0.0);
  alarm.state = TRY(parse_alarm_state(TRY(json_string(saved, "state", "alarm"))));
  alarm.over = TRY(count_of(saved, "over"));
  alarm.failures = TRY(count_of(saved, "failures"));
  alarm.open = TRY(json_bool(saved, "open", "alarm"));
  alarm.changed = TRY(json_string(saved, "changed", "alarm"));
  const auto value = saved.find("value");
  if (value != saved.end() && value->is_number()) alarm.value = value->get<double>();
  return alarm;
}

Status check_rules(const std::vector<AlarmRule>& rules) {
  if (rules.size() > kAlarmsMax) return fail(ErrorCode::limit_exceeded, "too many alarms", std::to_string(rules.size()));
  std::set<std::string> names;
  for (const auto& rule : rules) {
    if (rule.name.empty() || rule.name.size() > 64 || rule.name.find_first_not_of(kNameCharacters) != std::string::npos) return fail(ErrorCode::invalid_argument, "not a name of an alarm", rule.name);
    if (!names.insert(rule.name).second) return fail(ErrorCode::invalid_argument, "two alarms of one name", rule.name);
    if (!std::isfinite(rule.limit) || rule.periods < 1 || rule.failures_max < 1) return fail(ErrorCode::invalid_argument, "an alarm's limit or counts are out of range", rule.name);
  }
  return {};
}

}  // namespace redoubt::provider
