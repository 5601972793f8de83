// SPDX-License-Identifier: Apache-2.0
#include "stages/watch/alarms.h"

#include <algorithm>
#include <array>

namespace redoubt::stages::watch {
namespace {
constexpr std::array<const char*, 3> kStates = {"INSUFFICIENT_DATA", "OK", "ALARM"};
}

const char* to_string(AlarmState state) { return kStates[static_cast<std::size_t>(state)]; }

Result<AlarmState> parse_alarm_state(std::string_view text) {
  const auto found = std::find(kStates.begin(), kStates.end(), text);
  if (found == kStates.end()) return fail(ErrorCode::invalid_argument, "not a state of an alarm: " + std::string(text));
  return static_cast<AlarmState>(found - kStates.begin());
}

std::vector<AlarmDefinition> standard_alarms(const AlarmLimits& limits) {
  return {
      {"InvocationErrors", "failed invocations in a minute", limits.error_rate_per_minute_max, 1},
      {"LatencyP99", "99th percentile of an answer's time, ms", limits.latency_p99_ms_max, 1},
      {"CriticalVulnerabilities", "open critical findings in the image", limits.critical_vulnerabilities_max, 1},
      {"UnauthorizedAttempts", "requests with a wrong or missing key in a minute", limits.unauthorized_attempts_max, 1},
      {"DataDrift", "largest ratio of a prompt feature's stability index to its limit", 1.0, 2},
  };
}

Json Alarm::to_json() const {
  return {{"name", definition.name}, {"description", definition.description}, {"limit", definition.limit}, {"state", to_string(state)},
          {"over", over}, {"value", value ? Json(*value) : Json(nullptr)}, {"changed", changed}};
}

Alarms::Alarms(std::vector<AlarmDefinition> definitions) {
  for (auto& definition : definitions) alarms_.push_back({std::move(definition), AlarmState::insufficient_data, 0, std::nullopt, ""});
}

Status Alarms::restore(const Json& saved) {
  if (!saved.is_array()) return fail(ErrorCode::invalid_argument, "the saved alarms are no list");
  for (const auto& item : saved) {
    const std::string name = TRY(json_string(item, "name", "alarm"));
    const auto alarm = std::find_if(alarms_.begin(), alarms_.end(), [&](const Alarm& a) { return a.definition.name == name; });
    if (alarm == alarms_.end()) continue;
    alarm->state = TRY(parse_alarm_state(TRY(json_string(item, "state", "alarm"))));
    alarm->over = static_cast<int>(TRY(json_integer(item, "over", "alarm")));
    alarm->changed = TRY(json_string(item, "changed", "alarm"));
  }
  return {};
}

Json Alarms::to_json() const {
  Json list = Json::array();
  for (const auto& alarm : alarms_) list.push_back(alarm.to_json());
  return list;
}

std::vector<AlarmChange> Alarms::update(const std::map<std::string, double>& values, TimePoint now) {
  std::vector<AlarmChange> changes;
  for (auto& alarm : alarms_) {
    const auto value = values.find(alarm.definition.name);
    if (value == values.end()) continue;
    alarm.value = value->second;
    // A value that is no number is over every limit: what can't be measured is not well.
    alarm.over = value->second <= alarm.definition.limit ? 0 : alarm.over + 1;
    const AlarmState before = alarm.state;
    if (alarm.over >= alarm.definition.periods) {
      alarm.state = AlarmState::alarm;
    } else if (alarm.over == 0) {
      alarm.state = AlarmState::ok;
    }
    if (alarm.state == before) continue;
    alarm.changed = to_rfc3339(now);
    if (before == AlarmState::alarm || alarm.state == AlarmState::alarm) changes.push_back({alarm, before});
  }
  return changes;
}

}  // namespace redoubt::stages::watch
