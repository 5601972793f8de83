// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/sagemaker_monitoring.h"

#include <algorithm>

#include "base/log.h"
#include "crypto/hash.h"
#include "provider/aws/about.h"
#include "provider/aws/answer.h"
#include "provider/aws/endpoint_requests.h"
#include "provider/aws/job_ending.h"
#include "provider/aws/object_text.h"

namespace redoubt::provider::aws {
namespace {

constexpr const char* kModelMonitor = "model-monitor";
constexpr const char* kProcessing = "processing";
constexpr int kSettleSecondsMax = 300;
constexpr const char* kSchedulerCure = "allow scheduler:CreateSchedule, GetSchedule, UpdateSchedule and DeleteSchedule, and iam:PassRole on scheduler_role_arn";
constexpr const char* kMonitorCure =
    "allow sagemaker:Create*, Describe*, Delete* and List*JobDefinitions and *MonitoringSchedule, and iam:PassRole on the monitor's role; an account without Model Monitor says mode: processing";

// Whether everything that is wanted is there, whatever stands beside it.
bool is_as_wanted(const Json& wanted, const Json& there) {
  if (!wanted.is_object()) return wanted == there;
  return there.is_object() && std::all_of(wanted.items().begin(), wanted.items().end(), [&](const auto& member) {
    const auto found = there.find(member.key());
    return found != there.end() && is_as_wanted(member.value(), *found);
  });
}

std::string definition_of(const MonitoringKind& kind, const std::string& endpoint, const Json& request) {
  return endpoint + kind.suffix + crypto::sha256(dump_json(request)).hex().substr(0, 16);
}

bool holds(const std::string& modes, const std::string& mode) { return modes.find(mode) != std::string::npos; }

Status missing_is_fine(const Result<Json>& done, const std::string& what, const char* cure) {
  return done || is_missing(done.error()) ? Status() : Status(fail_about(what, done.error(), cure));
}

}  // namespace

std::string SagemakerMonitoring::mode() const {
  if (options_.monitoring.mode == MonitoringMode::off) return "off";
  return options_.monitoring.mode == MonitoringMode::processing ? kProcessing : kModelMonitor;
}

// Modes of which something may be there, joined by "+": a mode stands in it before anything is made for it and until all of it is gone.
Result<std::string> SagemakerMonitoring::modes_there(const std::string& environment) {
  auto found = get_text(models_, modes_key(environment));
  return !found && found.error().code == ErrorCode::not_found ? std::string() : found;
}

Status SagemakerMonitoring::set(const std::string& endpoint, const EndpointSpec& spec) {
  const std::string before = TRY(modes_there(spec.environment)), key = modes_key(spec.environment);
  if (options_.monitoring.mode == MonitoringMode::off) return remove(endpoint, spec.environment);
  const auto baseline = TRY(spec.baseline());
  if (!baseline || !spec.capture) {
    spdlog::warn("nothing watches what the endpoint {} is asked: {}", endpoint, spec.capture ? "its training data has too few prompts for a baseline" : "it captures nothing");
    return remove(endpoint, spec.environment);
  }
  if (!holds(before, mode())) TRY(put_text(models_, key, before.empty() ? mode() : before + "+" + mode()));
  const std::string place = TRY(put_baseline(spec, baseline->statistics, baseline->constraints));
  const Json job = drift_job_request(endpoint, spec, options_, place);
  TRY(put_text_if_new(models_, job_key(spec.environment), dump_json(job)));
  TRY(set_metric(endpoint));
  if (options_.monitoring.mode == MonitoringMode::processing) {
    if (holds(before, kModelMonitor)) TRY(remove_model_monitor(endpoint));
    TRY(set_schedule(endpoint, job));
  } else {
    if (holds(before, kProcessing)) TRY(remove_schedule(endpoint));
    TRY(set_model_monitor(endpoint, spec, place));
  }
  TRY(prune_baselines(spec.environment, place));
  return put_text_if_new(models_, key, mode());
}

Status SagemakerMonitoring::remove(const std::string& endpoint, const std::string& environment) {
  const std::string there = TRY(modes_there(environment));
  if (there.empty()) return {};
  if (holds(there, kModelMonitor)) TRY(remove_model_monitor(endpoint));
  if (holds(there, kProcessing)) TRY(remove_schedule(endpoint));
  for (const auto& filter : metric_filters(endpoint, options_)) {
    const Json named = {{"logGroupName", kProcessingLogs}, {"filterName", filter["filterName"]}};
    TRY(missing_is_fine(client_.call("logs", "DeleteMetricFilter", named), text(filter, "filterName"), "allow logs:DeleteMetricFilter"));
  }
  TRY(remove_if_there(models_, job_key(environment)));
  TRY(prune_baselines(environment, ""));
  return remove_if_there(models_, modes_key(environment));
}

Result<std::string> SagemakerMonitoring::put_baseline(const EndpointSpec& spec, const Json& statistics, const Json& constraints) {
  const std::string one = dump_json(statistics), other = dump_json(constraints);
  const std::string place = monitoring_prefix(spec.environment) + "baseline/" + crypto::sha256(one + other).hex().substr(0, 16) + "/";
  TRY(put_text_if_new(models_, place + "statistics.json", one));
  TRY(put_text_if_new(models_, place + "constraints.json", other));
  return place;
}

Status SagemakerMonitoring::prune_baselines(const std::string& environment, const std::string& kept) {
  for (const auto& key : TRY(models_.list(monitoring_prefix(environment) + "baseline/"))) {
    if (!kept.empty() && key.starts_with(kept)) continue;
    TRY(remove_if_there(models_, key));
  }
  return {};
}

// The container has no network: what it prints is what becomes a metric. SageMaker makes the log group with an account's first job.
Status SagemakerMonitoring::set_metric(const std::string& endpoint) {
  const char* cure = "allow logs:CreateLogGroup and PutMetricFilter on the log group /aws/sagemaker/ProcessingJobs";
  for (const auto& filter : metric_filters(endpoint, options_)) {
    auto done = client_.call("logs", "PutMetricFilter", filter);
    if (!done && is_missing(done.error())) {
      const auto made = client_.call("logs", "CreateLogGroup", {{"logGroupName", kProcessingLogs}});
      if (!made && made.error().code != ErrorCode::already_exists) return fail_about(kProcessingLogs, made.error(), cure);
      done = client_.call("logs", "PutMetricFilter", filter);
    }
    if (!done) return fail_about(text(filter, "filterName"), done.error(), cure);
  }
  return {};
}

Status SagemakerMonitoring::set_schedule(const std::string& endpoint, const Json& job) {
  if (options_.monitoring.scheduler_role_arn.empty()) {
    spdlog::warn("nobody starts the monitor of the endpoint {} but 'redoubt monitor run': name monitoring.scheduler_role_arn", endpoint);
    return remove_schedule(endpoint);
  }
  const std::string name = schedule_name(endpoint);
  const Json wanted = schedule_request(endpoint, job, options_, client_.partition());
  const auto there = client_.call("scheduler", "GetSchedule", {{"Name", name}});
  if (!there && !is_missing(there.error())) return fail_about(name, there.error(), kSchedulerCure);
  if (there && is_as_wanted(wanted, *there)) return {};
  const auto done = there ? client_.call("scheduler", "UpdateSchedule", wanted) : client_.call("scheduler", "CreateSchedule", wanted);
  if (done) return {};
  // The answer may have got lost on its way.
  const auto now = client_.call("scheduler", "GetSchedule", {{"Name", name}});
  return now && is_as_wanted(wanted, *now) ? Status() : Status(fail_about(name, done.error(), kSchedulerCure));
}

Status SagemakerMonitoring::remove_schedule(const std::string& endpoint) {
  const std::string name = schedule_name(endpoint);
  return missing_is_fine(client_.call("scheduler", "DeleteSchedule", {{"Name", name}}), name, kSchedulerCure);
}

Status SagemakerMonitoring::set_model_monitor(const std::string& endpoint, const EndpointSpec& spec, const std::string& baseline) {
  for (const auto& kind : monitoring_kinds()) {
    const Json request = definition_request(kind, endpoint, spec, options_, baseline);
    if (!request.is_null()) {
      TRY(set_kind(kind, endpoint, spec, request));
      continue;
    }
    TRY(remove_monitoring_schedule(endpoint + kind.suffix));
    TRY(prune_definitions(kind, endpoint, ""));
  }
  return {};
}

Status SagemakerMonitoring::set_kind(const MonitoringKind& kind, const std::string& endpoint, const EndpointSpec& spec, const Json& request) {
  const std::string what = kind.type + std::string("JobDefinition"), definition = definition_of(kind, endpoint, request), schedule = endpoint + kind.suffix;
  const Json tags = tags_of_environment(spec.environment, options_), named = {{"JobDefinitionName", definition}};
  if (const auto there = client_.call("sagemaker", std::string("Describe") + what, named); !there) {
    if (!is_missing(there.error())) return fail_about(definition, there.error(), kMonitorCure);
    Json create = request;
    create.update({{"JobDefinitionName", definition}, {"Tags", tags}});
    const auto made = client_.call("sagemaker", std::string("Create") + what, create);
    if (!made && !client_.call("sagemaker", std::string("Describe") + what, named)) return fail_about(definition, made.error(), kMonitorCure);
  }
  Json wanted = {{"MonitoringScheduleName", schedule}, {"MonitoringScheduleConfig", monitoring_schedule_config(kind, definition, options_)}};
  const auto there = client_.call("sagemaker", "DescribeMonitoringSchedule", {{"MonitoringScheduleName", schedule}});
  if (!there && !is_missing(there.error())) return fail_about(schedule, there.error(), kMonitorCure);
  if (!there || !is_as_wanted(wanted, *there)) {
    const Json config = wanted;
    if (!there) wanted["Tags"] = tags;
    const auto done = there ? client_.call("sagemaker", "UpdateMonitoringSchedule", wanted) : client_.call("sagemaker", "CreateMonitoringSchedule", wanted);
    const auto now = done ? Result<Json>(Json()) : client_.call("sagemaker", "DescribeMonitoringSchedule", {{"MonitoringScheduleName", schedule}});
    if (!done && (!now || !is_as_wanted(config, *now))) return fail_about(schedule, done.error(), kMonitorCure);
  }
  TRY(settle(schedule));
  return prune_definitions(kind, endpoint, definition);
}

// A schedule that is made or changed is Pending for a while.
Status SagemakerMonitoring::settle(const std::string& schedule) {
  const auto is_settled = [](const Json& now) -> Result<bool> { return text(now, "MonitoringScheduleStatus") != "Pending"; };
  const auto now = client_.wait_until("sagemaker", "DescribeMonitoringSchedule", {{"MonitoringScheduleName", schedule}}, is_settled, {options_.poll_ms, options_.poll_ms, kSettleSecondsMax});
  if (!now) return fail_about(schedule, now.error(), kMonitorCure);
  if (text(*now, "MonitoringScheduleStatus") != "Failed") return {};
  return fail(ErrorCode::unavailable, "the monitoring schedule could not be set up: " + text(*now, "FailureReason"), schedule, kMonitorCure);
}

Status SagemakerMonitoring::remove_monitoring_schedule(const std::string& name) {
  const Json named = {{"MonitoringScheduleName", name}};
  const auto there = client_.call("sagemaker", "DescribeMonitoringSchedule", named);
  if (!there) return missing_is_fine(there, name, kMonitorCure);
  TRY(missing_is_fine(client_.call("sagemaker", "DeleteMonitoringSchedule", named), name, kMonitorCure));
  const auto gone = client_.wait_until("sagemaker", "DescribeMonitoringSchedule", named, [](const Json&) -> Result<bool> { return false; }, {options_.poll_ms, options_.poll_ms, kSettleSecondsMax});
  return missing_is_fine(gone, name, "it may have a run under way: try again when that is over");
}

Status SagemakerMonitoring::prune_definitions(const MonitoringKind& kind, const std::string& endpoint, const std::string& kept) {
  const std::string what = kind.type + std::string("JobDefinition"), start = endpoint + kind.suffix;
  for (const auto& one : TRY(client_.call_all("sagemaker", std::string("List") + what + "s", {{"NameContains", start}}, "JobDefinitionSummaries"))) {
    const std::string name = text(one, "MonitoringJobDefinitionName");
    if (name == kept || !is_of_endpoint(name, start)) continue;
    TRY(missing_is_fine(client_.call("sagemaker", std::string("Delete") + what, {{"JobDefinitionName", name}}), name, kMonitorCure));
  }
  return {};
}

Status SagemakerMonitoring::remove_model_monitor(const std::string& endpoint) {
  for (const auto& kind : monitoring_kinds()) {
    TRY(remove_monitoring_schedule(endpoint + kind.suffix));
    TRY(prune_definitions(kind, endpoint, ""));
  }
  return {};
}

}  // namespace redoubt::provider::aws
