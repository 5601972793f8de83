// SPDX-License-Identifier: Apache-2.0
#include "stages/watch/alarms.h"

#include <algorithm>
#include <array>

namespace redoubt::stages::watch {
namespace {
constexpr std::array<const char*, 3> kStates = {"INSUFFICIENT_DATA", "OK", "ALARM"};
constexpr int kCountMax = 1'000'000;

void measure(Alarm& alarm, const std::optional<double>& value) {
  const auto& definition = alarm.definition;
  if (!value) {
    alarm.failures = std::min(alarm.failures + 1, kCountMax);
    if (alarm.failures < definition.failures_max) return;
    alarm.state = AlarmState::insufficient_data;
    alarm.over = 0;
    alarm.value.reset();
    return;
  }
  alarm.failures = 0;
  alarm.value = value;
  // A value that is no number is over every limit: what can't be measured is not well.
  alarm.over = *value <= definition.limit ? 0 : std::min(alarm.over + 1, kCountMax);
  if (alarm.over >= definition.periods) {
    alarm.state = AlarmState::alarm;
  } else if (alarm.over == 0) {
    alarm.state = AlarmState::ok;
  }
}

bool needs_a_person(const Alarm& alarm) { return alarm.state == AlarmState::alarm || alarm.failures >= alarm.definition.failures_max; }

Result<int> count_of(const Json& item, const char* key) {
  const auto count = TRY(json_integer(item, key, "alarm"));
  if (count < 0 || count > kCountMax) return fail(ErrorCode::invalid_argument, "a count of the saved alarms is out of range", key);
  return static_cast<int>(count);
}

}  // namespace

const char* to_string(AlarmState state) { return kStates[static_cast<std::size_t>(state)]; }

Result<AlarmState> parse_alarm_state(std::string_view text) {
  const auto found = std::find(kStates.begin(), kStates.end(), text);
  if (found == kStates.end()) return fail(ErrorCode::invalid_argument, "not a state of an alarm: " + std::string(text));
  return static_cast<AlarmState>(found - kStates.begin());
}

std::vector<AlarmDefinition> standard_alarms(const AlarmLimits& limits) {
  std::vector<AlarmDefinition> alarms = {
      {"InvocationErrors", "failed invocations in a minute", limits.error_rate_per_minute_max, 1},
      {"LatencyP99", "99th percentile of an answer's time, ms", limits.latency_p99_ms_max, 1},
      {"CriticalVulnerabilities", "open critical findings in the image", limits.critical_vulnerabilities_max, 1},
      {"UnauthorizedAttempts", "requests with a wrong or missing key in a minute", limits.unauthorized_attempts_max, 1},
      {"DataDrift", "largest ratio of a prompt feature's stability index to its limit", 1.0, 2},
      {"WorkerFailures", "engine workers that ended or hung since the last look, or are not ready", 0, 1},
  };
  for (auto& alarm : alarms) alarm.failures_max = limits.failures_max;
  return alarms;
}

Json Alarm::to_json() const {
  return {{"name", definition.name}, {"description", definition.description}, {"limit", definition.limit}, {"state", to_string(state)}, {"over", over},
          {"failures", failures}, {"open", open}, {"value", value ? Json(*value) : Json(nullptr)}, {"changed", changed}};
}

Alarms::Alarms(std::vector<AlarmDefinition> definitions) {
  for (auto& definition : definitions) alarms_.push_back({.definition = std::move(definition), .value = {}, .changed = {}});
}

Status Alarms::restore(const Json& saved) {
  if (!saved.is_array()) return fail(ErrorCode::invalid_argument, "the saved alarms are no list");
  for (const auto& item : saved) {
    const std::string name = TRY(json_string(item, "name", "alarm"));
    const auto alarm = std::find_if(alarms_.begin(), alarms_.end(), [&](const Alarm& a) { return a.definition.name == name; });
    if (alarm == alarms_.end()) continue;
    alarm->state = TRY(parse_alarm_state(TRY(json_string(item, "state", "alarm"))));
    alarm->over = TRY(count_of(item, "over"));
    alarm->failures = TRY(count_of(item, "failures"));
    alarm->open = TRY(json_bool(item, "open", "alarm"));
    alarm->changed = TRY(json_string(item, "changed", "alarm"));
  }
  return {};
}

Json Alarms::to_json() const {
  Json list = Json::array();
  for (const auto& alarm : alarms_) list.push_back(alarm.to_json());
  return list;
}

bool Alarms::is_in(const std::string& name, AlarmState state) const {
  return std::any_of(alarms_.begin(), alarms_.end(), [&](const Alarm& alarm) { return alarm.definition.name == name && alarm.state == state; });
}

std::vector<AlarmChange> Alarms::update(const Measurements& measurements, TimePoint now) {
  std::vector<AlarmChange> changes;
  for (auto& alarm : alarms_) {
    const auto looked = measurements.find(alarm.definition.name);
    if (looked == measurements.end()) continue;
    const AlarmState before = alarm.state;
    const bool was_open = alarm.open;
    measure(alarm, looked->second);
    if (alarm.state == AlarmState::ok) alarm.open = false;
    if (needs_a_person(alarm)) alarm.open = true;
    if (alarm.state == before && alarm.open == was_open) continue;
    alarm.changed = to_rfc3339(now);
    if (was_open || alarm.open) changes.push_back({alarm, before});
  }
  return changes;
}

}  // namespace redoubt::stages::watch
