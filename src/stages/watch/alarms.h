// SPDX-License-Identifier: Apache-2.0
//
// The alarms of an endpoint: each compares one metric with its limit and is told of once, when its state changes. What cannot
// be measured is not well: after a few looks in a row that failed, the alarm is undecided (INSUFFICIENT_DATA) and told of too.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/json.h"

namespace redoubt::stages::watch {

enum class AlarmState { insufficient_data, ok, alarm };  // as CloudWatch names them
const char* to_string(AlarmState state);
Result<AlarmState> parse_alarm_state(std::string_view text);

struct AlarmDefinition {
  std::string name, description;
  double limit = 0;       // ALARM when the value is greater
  int periods = 1;        // how many values in a row must be over the limit
  int failures_max = 3;   // looks in a row that could not measure it, before it is undecided
};

struct AlarmLimits {
  double error_rate_per_minute_max = 10;
  double latency_p99_ms_max = 1000;
  double critical_vulnerabilities_max = 0;
  double unauthorized_attempts_max = 5;
  int failures_max = 3;
};
// InvocationErrors, LatencyP99, CriticalVulnerabilities, UnauthorizedAttempts, DataDrift (two windows in a row), and
// WorkerFailures, which has the limit 0.
std::vector<AlarmDefinition> standard_alarms(const AlarmLimits& limits);

struct Alarm {
  AlarmDefinition definition;
  AlarmState state = AlarmState::insufficient_data;
  int over = 0;       // values over the limit in a row
  int failures = 0;   // looks in a row that could not measure it
  bool open = false;  // somebody has to look: from ALARM or undecided until OK
  std::optional<double> value;
  std::string changed;  // RFC 3339; empty before the first change

  Json to_json() const;
};

struct AlarmChange {
  Alarm alarm;  // after it
  AlarmState before = AlarmState::insufficient_data;
};

// By alarm name: a value, or nothing where a look could not measure it. A name that is missing was not looked at.
using Measurements = std::map<std::string, std::optional<double>>;

class Alarms {
 public:
  explicit Alarms(std::vector<AlarmDefinition> definitions);
  // States of an earlier process; alarms that are not defined any more are left out.
  Status restore(const Json& saved);
  Json to_json() const;
  const std::vector<Alarm>& all() const { return alarms_; }
  bool is_in(const std::string& name, AlarmState state) const;

  // An alarm that was not looked at keeps its state. Answers the changes that somebody has to hear of: into ALARM, into
  // undecided, between them, and back to OK.
  std::vector<AlarmChange> update(const Measurements& measurements, TimePoint now);

 private:
  std::vector<Alarm> alarms_;
};

}  // namespace redoubt::stages::watch
