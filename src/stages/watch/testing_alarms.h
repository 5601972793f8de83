// SPDX-License-Identifier: Apache-2.0
//
// For tests: the standard alarms, asked as a watch asks them.
#pragma once

#include <memory>
#include <optional>

#include "base/check.h"
#include "provider/local/local_alarms.h"
#include "stages/watch/alarms.h"

namespace redoubt::stages::watch {

// The standard alarms as a watch asks them, evaluated by the embedded provider.
class Alarms {
 public:
  explicit Alarms(std::optional<Json> saved = std::nullopt, const AlarmLimits& limits = {}) : saved_(std::move(saved)) {
    alarms_ = provider::local::LocalAlarms::create({[this]() -> Result<std::optional<Json>> { return saved_; }, [this](const Json& list) -> Status { return saved_ = list, Status(); }}, clock_).value();
    CHECK(alarms_->define(standard_alarms(limits)).has_value());
    told_ = alarms_->read().value();
  }
  std::vector<AlarmChange> update(const Measurements& measurements) {
    CHECK(alarms_->put(measurements).has_value());
    auto now = alarms_->read().value();
    auto changes = changes_since(told_, now);
    told_ = parse_alarms(to_json(now)).value();
    return changes;
  }
  bool is_in(const char* name, AlarmState state) const {
    const auto* found = find_alarm(told_, name);
    return found != nullptr && found->state == state;
  }
  const Json& saved() const { return *saved_; }

 private:
  FakeClock clock_;
  std::optional<Json> saved_;
  std::unique_ptr<provider::local::LocalAlarms> alarms_;
  std::vector<Alarm> told_;
};

}  // namespace redoubt::stages::watch
