// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/cloudwatch_alarms.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "provider/aws/about.h"
#include "provider/aws/answer.h"

namespace redoubt::provider::aws {
namespace {

constexpr std::size_t kNamesMax = 100, kDimensionsMax = 30;
constexpr double kOverEveryLimit = 1e90;  // CloudWatch takes no infinity and no NaN; its values end at 2^360
constexpr const char* kAlarmsCure = "allow cloudwatch:PutMetricData, PutMetricAlarm, SetAlarmState, DescribeAlarms and DeleteAlarms to the role that runs this";

const char* unit_of(MetricUnit unit) {
  switch (unit) {
    case MetricUnit::count: return "Count";
    case MetricUnit::milliseconds: return "Milliseconds";
    case MetricUnit::none: break;
  }
  return "None";
}

bool is_same(const Json& wanted, const Json& there) {
  if (wanted.is_number() && there.is_number()) return wanted.get<double>() == there.get<double>();
  if (wanted.is_array() && there.is_array() && wanted.size() == there.size()) {
    return std::all_of(wanted.begin(), wanted.end(), [&](const Json& item) { return std::find(there.begin(), there.end(), item) != there.end(); });
  }
  // What is empty is left out of an answer.
  return wanted == there || (wanted.empty() && there.is_null());
}

bool is_defined_as(const Json& wanted, const Json& there) {
  for (const auto& [member, value] : wanted.items()) {
    const auto found = there.find(member);
    if (!is_same(value, found == there.end() ? Json() : *found)) return false;
  }
  return true;
}

std::string changed_at(const Json& alarm) {
  for (const char* member : {"StateTransitionedTimestamp", "StateUpdatedTimestamp"}) {
    if (const auto time = time_of(alarm, member)) return to_rfc3339(*time);
  }
  return {};
}

Json list_of(const std::map<std::string, std::string>& dimensions) {
  Json list = Json::array();
  for (const auto& [name, value] : dimensions) list.push_back({{"Name", name}, {"Value", value}});
  return list;
}

// The newest value that the state was decided by, as CloudWatch tells it in a text of JSON.
std::optional<double> value_of(const Json& alarm) {
  const auto data = parse_json(json_or(alarm, "StateReasonData", "{}"), "StateReasonData", {64 << 10, 16});
  if (!data) return std::nullopt;
  const Json points = json_or(*data, "recentDatapoints", Json::array());
  if (points.empty() || !points.back().is_number()) return std::nullopt;
  return points.back().get<double>();
}

}  // namespace

Result<std::unique_ptr<CloudWatchAlarms>> CloudWatchAlarms::create(CloudWatchAlarmsOptions options, Client& client, const Clock& clock) {
  const auto refuse = [](const char* what, const std::string& where) { return fail(ErrorCode::invalid_argument, what, where); };
  if (options.metric_namespace.empty() || options.metric_namespace.size() > 255 || options.metric_namespace.front() == ':' || options.metric_namespace.starts_with("AWS/")) {
    return refuse("not a namespace of one's own metrics", options.metric_namespace);
  }
  if (options.name_prefix.empty() || options.name_prefix.size() > 150) return refuse("alarms need the start of a name of 150 characters at most", options.name_prefix);
  if (options.dimensions.size() > kDimensionsMax) return refuse("a metric has 30 dimensions at most", options.metric_namespace);
  if (options.period_s != 10 && options.period_s != 30 && (options.period_s <= 0 || options.period_s % 60 != 0)) return refuse("a period is 10 s, 30 s or a multiple of 60 s", std::to_string(options.period_s));
  if (!options.topic_arn.empty() && options.topic_arn.find(":sns:" + client.region() + ":") == std::string::npos) {
    return fail(ErrorCode::invalid_argument, "not the ARN of an SNS topic in " + client.region(), options.topic_arn, "alarms tell topics of their own region only");
  }
  return std::unique_ptr<CloudWatchAlarms>(new CloudWatchAlarms(std::move(options), client, clock));
}

Json CloudWatchAlarms::alarm_of(const AlarmRule& rule) const {
  const Json actions = options_.topic_arn.empty() ? Json::array() : Json::array({options_.topic_arn});
  return {{"AlarmName", options_.name_prefix + rule.name},
          {"AlarmDescription", rule.description},
          {"ActionsEnabled", true},
          {"AlarmActions", actions},
          {"OKActions", actions},
          {"InsufficientDataActions", actions},
          {"Namespace", options_.metric_namespace},
          {"MetricName", rule.name},
          {"Dimensions", list_of(options_.dimensions)},
          {"Statistic", "Maximum"},
          {"Unit", unit_of(rule.unit)},
          {"Period", options_.period_s},
          {"EvaluationPeriods", rule.sampling == Sampling::each_look ? std::max(rule.periods, rule.failures_max) : 1},
          {"DatapointsToAlarm", rule.sampling == Sampling::each_look ? rule.periods : 1},
          {"Threshold", rule.limit},
          {"ComparisonOperator", "GreaterThanThreshold"},
          {"TreatMissingData", rule.sampling == Sampling::each_look ? "missing" : "ignore"}};
}

Result<Json> CloudWatchAlarms::described() {
  auto alarms = client_.call_all("cloudwatch", "DescribeAlarms", {{"AlarmNamePrefix", options_.name_prefix}, {"AlarmTypes", {"MetricAlarm"}}}, "MetricAlarms");
  if (!alarms) return fail_about(options_.name_prefix + "*", alarms.error(), kAlarmsCure);
  return alarms;
}

Status CloudWatchAlarms::define(const std::vector<AlarmRule>& rules) {
  TRY(check_rules(rules));
  const Json there = TRY(described());
  std::map<std::string, Json> wanted;
  for (const auto& rule : rules) wanted.emplace(options_.name_prefix + rule.name, alarm_of(rule));
  Json gone = Json::array();
  for (const auto& alarm : there) {
    const auto found = wanted.find(json_or(alarm, "AlarmName", ""));
    if (found == wanted.end()) gone.push_back(alarm.at("AlarmName"));
    if (found != wanted.end() && is_defined_as(found->second, alarm)) wanted.erase(found);
  }
  for (const auto& [name, alarm] : wanted) {
    if (auto done = client_.call("cloudwatch", "PutMetricAlarm", alarm); !done) return fail_about(name, done.error(), kAlarmsCure);
  }
  for (std::size_t from = 0; from < gone.size(); from += kNamesMax) {
    const Json names(std::vector<Json>(gone.begin() + static_cast<std::ptrdiff_t>(from), gone.begin() + static_cast<std::ptrdiff_t>(std::min(gone.size(), from + kNamesMax))));
    if (auto done = client_.call("cloudwatch", "DeleteAlarms", {{"AlarmNames", names}}); !done) return fail_about(options_.name_prefix + "*", done.error(), kAlarmsCure);
  }
  rules_ = rules;
  return {};
}

// CloudWatch counts periods that follow on each other. Values that come now and then are over the limit so many times in a row when
// the least of them is.
double CloudWatchAlarms::value_to_send(const AlarmRule& rule, double value) {
  const double sent = std::isfinite(value) && std::abs(value) < kOverEveryLimit ? value : kOverEveryLimit;
  if (rule.sampling == Sampling::each_look) return sent;
  auto& values = seen_[rule.name].values;
  values.push_back(sent);
  if (values.size() > static_cast<std::size_t>(rule.periods)) values.erase(values.begin());
  // Too few values for a verdict are not over the limit yet.
  return values.size() < static_cast<std::size_t>(rule.periods) ? std::min(sent, rule.limit) : *std::min_element(values.begin(), values.end());
}

// What comes at each look is missed by CloudWatch itself; what comes now and then is not, so it is told.
Status CloudWatchAlarms::miss(const AlarmRule& rule) {
  if (rule.sampling == Sampling::each_look) return {};
  auto& seen = seen_[rule.name];
  if (++seen.failures != rule.failures_max) return {};
  seen.values.clear();
  const Json input = {{"AlarmName", options_.name_prefix + rule.name}, {"StateValue", to_string(AlarmState::insufficient_data)}, {"StateReason", fmt::format("it could not be measured, {} times in a row", rule.failures_max)}};
  auto done = client_.call("cloudwatch", "SetAlarmState", input);
  if (done) return {};
  --seen.failures;  // told at the next look
  return fail_about(options_.name_prefix + rule.name, done.error(), kAlarmsCure);
}

Status CloudWatchAlarms::put(const Measurements& measurements) {
  const double now = static_cast<double>(clock_.now().time_since_epoch().count()) / 1000;
  Json data = Json::array();
  for (const auto& rule : rules_) {
    const auto found = measurements.find(rule.name);
    if (found == measurements.end()) continue;
    if (!found->second) {
      TRY(miss(rule));
      continue;
    }
    if (rule.sampling == Sampling::now_and_then) seen_[rule.name].failures = 0;
    data.push_back({{"MetricName", rule.name}, {"Dimensions", list_of(options_.dimensions)}, {"Timestamp", now}, {"Value", value_to_send(rule, *found->second)},
                    {"Unit", unit_of(rule.unit)}, {"StorageResolution", options_.period_s < 60 ? 1 : 60}});
    if (options_.also_under.empty()) continue;
    data.push_back(data.back());
    data.back()["Dimensions"] = list_of(options_.also_under);
  }
  if (data.empty()) return {};
  auto done = client_.call("cloudwatch", "PutMetricData", {{"Namespace", options_.metric_namespace}, {"MetricData", std::move(data)}});
  return done ? Status() : Status(fail_about(options_.metric_namespace, done.error(), kAlarmsCure));
}

Result<std::vector<Alarm>> CloudWatchAlarms::read() {
  std::vector<Alarm> alarms;
  for (const auto& there : TRY(described())) {
    Alarm alarm;
    alarm.definition.name = json_or(there, "AlarmName", "").substr(options_.name_prefix.size());
    alarm.definition.description = json_or(there, "AlarmDescription", "");
    alarm.definition.limit = json_or(there, "Threshold", 0.0);
    const auto rule = std::find_if(rules_.begin(), rules_.end(), [&](const AlarmRule& one) { return one.name == alarm.definition.name; });
    if (rule != rules_.end()) alarm.definition = *rule;
    // Before the first evaluation the state says nothing.
    const bool is_unchecked = json_or(there, "StateReason", "").starts_with("Unchecked:");
    alarm.state = is_unchecked ? AlarmState::insufficient_data : TRY(parse_alarm_state(json_or(there, "StateValue", "")));
    alarm.open = !is_unchecked && alarm.state != AlarmState::ok;
    alarm.value = value_of(there);
    if (!is_unchecked) alarm.changed = changed_at(there);
    alarms.push_back(std::move(alarm));
  }
  const auto position = [this](const Alarm& alarm) {
    return std::find_if(rules_.begin(), rules_.end(), [&](const AlarmRule& rule) { return rule.name == alarm.definition.name; }) - rules_.begin();
  };
  std::stable_sort(alarms.begin(), alarms.end(), [&](const Alarm& a, const Alarm& b) { return position(a) < position(b); });
  return alarms;
}

}  // namespace redoubt::provider::aws
