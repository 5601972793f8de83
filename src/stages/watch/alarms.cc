// SPDX-License-Identifier: Apache-2.0
#include "stages/watch/alarms.h"

#include <algorithm>

namespace redoubt::stages::watch {

std::vector<provider::AlarmRule> standard_alarms(const AlarmLimits& limits) {
  using provider::MetricUnit, provider::Sampling;
  std::vector<provider::AlarmRule> alarms = {
      {"InvocationErrors", "failed invocations in a minute", limits.error_rate_per_minute_max},
      {"LatencyP99", "99th percentile of an answer's time, ms", limits.latency_p99_ms_max, 1, 1, MetricUnit::milliseconds, Sampling::now_and_then},
      {"CriticalVulnerabilities", "open critical findings in the image, and high ones that it did not have when it was deployed", limits.critical_vulnerabilities_max, 1, 1, MetricUnit::count, Sampling::now_and_then},
      {"UnauthorizedAttempts", "requests with a wrong or missing key in a minute", limits.unauthorized_attempts_max},
      {"DataDrift", "largest ratio of a prompt feature's stability index to its limit", 1.0, 2, 1, MetricUnit::none, Sampling::now_and_then},
      {"WorkerFailures", "engine workers that ended or hung since the last look, or are not ready", 0},
      {"CertificateExpiry", "days that the endpoint's certificate is good for less than it has to be", 0, 1, 1, MetricUnit::none},
  };
  for (auto& alarm : alarms) alarm.failures_max = limits.failures_max;
  return alarms;
}

double certificate_days_missing(TimePoint not_before, TimePoint not_after, TimePoint now) {
  using Days = std::chrono::duration<double, std::chrono::days::period>;
  const Days wanted = std::min<Days>(std::chrono::days(14), Days(not_after - not_before) / 6);
  return std::max({0.0, Days(wanted - (not_after - now)).count(), Days(not_before - now).count()});
}

std::vector<provider::AlarmRule> monitored_alarms(const AlarmLimits& limits) {
  auto alarms = standard_alarms(limits);
  std::erase_if(alarms, [](const auto& alarm) { return alarm.name != "DataDrift"; });
  for (auto& alarm : alarms) alarm.periods = 1;
  return alarms;
}

std::vector<AlarmChange> changes_since(const std::vector<Alarm>& told, const std::vector<Alarm>& now) {
  std::vector<AlarmChange> changes;
  for (const auto& alarm : now) {
    const auto* known = find_alarm(told, alarm.definition.name);
    const AlarmState before = known == nullptr ? AlarmState::insufficient_data : known->state;
    const bool was_open = known != nullptr && known->open;
    if ((alarm.state != before || alarm.open != was_open) && (was_open || alarm.open)) changes.push_back({alarm, before});
  }
  return changes;
}

const Alarm* find_alarm(const std::vector<Alarm>& alarms, std::string_view name) {
  const auto found = std::find_if(alarms.begin(), alarms.end(), [&](const Alarm& alarm) { return alarm.definition.name == name; });
  return found == alarms.end() ? nullptr : &*found;
}

Json to_json(const std::vector<Alarm>& alarms) {
  Json list = Json::array();
  for (const auto& alarm : alarms) list.push_back(alarm.to_json());
  return list;
}

Result<std::vector<Alarm>> parse_alarms(const Json& saved) {
  if (!saved.is_array()) return fail(ErrorCode::invalid_argument, "the saved alarms are no list");
  std::vector<Alarm> alarms;
  for (const auto& item : saved) alarms.push_back(TRY(provider::parse_alarm(item)));
  return alarms;
}

}  // namespace redoubt::stages::watch
