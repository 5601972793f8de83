// SPDX-License-Identifier: Apache-2.0
#include "provider/local/local_alarms.h"

#include <algorithm>

namespace redoubt::provider::local {
namespace {

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

}  // namespace

Result<std::unique_ptr<LocalAlarms>> LocalAlarms::create(Options options, const Clock& clock) {
  std::unique_ptr<LocalAlarms> made(new LocalAlarms(std::move(options), clock));
  const auto saved = TRY(made->options_.load());
  if (!saved) return made;
  if (!saved->is_array()) return fail(ErrorCode::invalid_argument, "the saved alarms are no list");
  for (const auto& item : *saved) made->alarms_.push_back(TRY(parse_alarm(item)));
  made->saved_ = *saved;
  return made;
}

Status LocalAlarms::define(const std::vector<AlarmRule>& rules) {
  TRY(check_rules(rules));
  std::vector<Alarm> alarms;
  for (const auto& rule : rules) {
    const auto known = std::find_if(alarms_.begin(), alarms_.end(), [&](const Alarm& alarm) { return alarm.definition.name == rule.name; });
    alarms.push_back(known == alarms_.end() ? Alarm() : *known);
    alarms.back().definition = rule;
  }
  alarms_ = std::move(alarms);
  return save();
}

Status LocalAlarms::put(const Measurements& measurements) {
  const auto now = to_rfc3339(clock_.now());
  for (auto& alarm : alarms_) {
    const auto looked = measurements.find(alarm.definition.name);
    if (looked == measurements.end()) continue;
    const AlarmState before = alarm.state;
    const bool was_open = alarm.open;
    measure(alarm, looked->second);
    if (alarm.state == AlarmState::ok) alarm.open = false;
    if (needs_a_person(alarm)) alarm.open = true;
    if (alarm.state != before || alarm.open != was_open) alarm.changed = now;
  }
  return save();
}

Status LocalAlarms::save() {
  Json list = Json::array();
  for (const auto& alarm : alarms_) list.push_back(alarm.to_json());
  if (dump_json(list) == dump_json(saved_)) return {};
  TRY(options_.save(list));
  saved_ = std::move(list);
  return {};
}

}  // namespace redoubt::provider::local
