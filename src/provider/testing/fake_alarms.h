// SPDX-License-Identifier: Apache-2.0
//
// Alarms in memory, for tests: a value over its limit is an alarm at once. Fails as often as it is asked to.
#pragma once

#include <algorithm>

#include "provider/alarms.h"

namespace redoubt::provider::testing {

class FakeAlarms final : public Alarms {
 public:
  Status define(const std::vector<AlarmRule>& rules) override {
    TRY(check_rules(rules));
    std::vector<Alarm> next;
    for (const auto& rule : rules) {
      const auto known = std::find_if(alarms.begin(), alarms.end(), [&](const Alarm& alarm) { return alarm.definition.name == rule.name; });
      next.push_back(known == alarms.end() ? Alarm() : *known);
      next.back().definition = rule;
    }
    alarms = std::move(next);
    return {};
  }
  Status put(const Measurements& measurements) override {
    if (failures_left > 0) return --failures_left, fail(ErrorCode::unavailable, "a failure that the test asked for");
    for (auto& alarm : alarms) {
      const auto looked = measurements.find(alarm.definition.name);
      if (looked == measurements.end()) continue;
      alarm.value = looked->second;
      alarm.state = !alarm.value ? AlarmState::insufficient_data : *alarm.value <= alarm.definition.limit ? AlarmState::ok : AlarmState::alarm;
      alarm.open = alarm.state != AlarmState::ok;
    }
    return {};
  }
  Result<std::vector<Alarm>> read() override { return alarms; }

  std::vector<Alarm> alarms;
  int failures_left = 0;
};

}  // namespace redoubt::provider::testing
