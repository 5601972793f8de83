// SPDX-License-Identifier: Apache-2.0
//
// The alarms of an endpoint and who has to hear of them: each change is told of once. What the alarms are evaluated by is a
// provider (provider/alarms.h).
#pragma once

#include <vector>

#include "provider/alarms.h"

namespace redoubt::stages::watch {

using provider::Alarm;
using provider::AlarmState;
using provider::Measurements;

struct AlarmLimits {
  double error_rate_per_minute_max = 10;
  double latency_p99_ms_max = 1000;
  double critical_vulnerabilities_max = 0;
  double unauthorized_attempts_max = 5;
  int failures_max = 3;
};
// InvocationErrors, LatencyP99, CriticalVulnerabilities, UnauthorizedAttempts, DataDrift (two windows in a row), WorkerFailures and
// CertificateExpiry, which have the limit 0.
std::vector<provider::AlarmRule> standard_alarms(const AlarmLimits& limits);

// CertificateExpiry's value: the days that are missing to the 14 which a certificate has to be good for, or to a sixth of its life where that
// is less (of 90 days 15, of 6 one); 0 where none is missing. One that is not valid yet has as many to wait.
double certificate_days_missing(TimePoint not_before, TimePoint not_after, TimePoint now);

// Of an endpoint whose monitor runs elsewhere: DataDrift alone, whose values have both windows in them already.
std::vector<provider::AlarmRule> monitored_alarms(const AlarmLimits& limits);

struct AlarmChange {
  Alarm alarm;  // after it
  AlarmState before = AlarmState::insufficient_data;
};

// What somebody has to hear of, who was told of `told`: changes into ALARM, into undecided, between them, and back to OK. An alarm
// that is not in `told` was undecided, and nobody's business yet.
std::vector<AlarmChange> changes_since(const std::vector<Alarm>& told, const std::vector<Alarm>& now);

// Null where none has the name.
const Alarm* find_alarm(const std::vector<Alarm>& alarms, std::string_view name);
Json to_json(const std::vector<Alarm>& alarms);
// What to_json wrote; invalid_argument.
Result<std::vector<Alarm>> parse_alarms(const Json& saved);

}  // namespace redoubt::stages::watch
