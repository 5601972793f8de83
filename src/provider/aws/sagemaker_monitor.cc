// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/sagemaker_monitor.h"

#include "crypto/random.h"
#include "provider/aws/about.h"
#include "provider/aws/answer.h"
#include "provider/aws/endpoint_requests.h"
#include "provider/aws/interrupts.h"
#include "provider/aws/job_ending.h"
#include "provider/aws/monitoring_requests.h"
#include "provider/aws/object_text.h"

namespace redoubt::provider::aws {
namespace {

constexpr int kStartSecondsMax = 1800;  // until an instance is there
constexpr const char* kProcessingCure = "allow sagemaker:CreateProcessingJob, DescribeProcessingJob, ListProcessingJobs and StopProcessingJob, and iam:PassRole on the monitor's role";

std::string with_id(std::string text, const std::string& id) {
  for (auto at = text.find(kRunId); at != std::string::npos; at = text.find(kRunId, at)) text.replace(at, std::string_view(kRunId).size(), id);
  return text;
}

std::string results_uri(const Json& description) {
  const Json outputs = json_or(json_or(description, "ProcessingOutputConfig", Json::object()), "Outputs", Json::array());
  return outputs.empty() ? "" : text(json_or(outputs[0], "S3Output", Json::object()), "S3Uri");
}

tl::unexpected<Error> run_failure(const Json& description) {
  const std::string name = text(description, "ProcessingJobName"), reason = text(description, "FailureReason");
  if (reason.find("o S3 objects found") != std::string::npos) {  // "No" or "no"
    return fail(ErrorCode::undecided, "nothing was captured yet", name, "ask again when the endpoint has answered requests; SageMaker writes captures some minutes later");
  }
  return fail(ErrorCode::unavailable, "the monitor's run is " + text(description, "ProcessingJobStatus") + ": " + (reason.empty() ? "SageMaker names no reason" : reason), name,
              std::string("see what its container says: the log group ") + kProcessingLogs + ", and whether the monitor's role can read the captures and write the results");
}

}  // namespace

Result<std::unique_ptr<SagemakerMonitor>> SagemakerMonitor::create(SagemakerEndpointOptions options, Client& client, ObjectStore& models) {
  TRY(check_endpoint_options(options));
  return std::unique_ptr<SagemakerMonitor>(new SagemakerMonitor(std::move(options), client, models));
}

Result<Json> SagemakerMonitor::read(const std::string& key) {
  const auto found = get_text(models_, key);
  if (!found) return fail_about(options_.models_uri + key, found.error());
  return parse_json(*found, options_.models_uri + key);
}

Result<Json> SagemakerMonitor::request_of(const std::string& environment, const std::string& id) {
  const auto kept = read(job_key(environment));
  if (kept) return parse_json(with_id(dump_json(*kept), id), job_key(environment));
  if (kept.error().code != ErrorCode::not_found) return kept;
  return fail(ErrorCode::not_found, "nothing watches the endpoint of this environment", environment, "deploy it with endpoint.sagemaker.monitoring in the providers file, and with training data of 50 prompts or more");
}

Status SagemakerMonitor::start(const Json& request) {
  const std::string name = text(request, "ProcessingJobName");
  const auto made = client_.call("sagemaker", "CreateProcessingJob", request);
  if (made) return {};
  // The answer may have got lost on its way: nobody else draws this name, so a job that has it is ours.
  const bool is_lost = made.error().code == ErrorCode::unavailable || made.error().code == ErrorCode::already_exists;
  if (is_lost && client_.call("sagemaker", "DescribeProcessingJob", {{"ProcessingJobName", name}})) return {};
  SagemakerEndpointOptions about = options_;
  about.role_arn = text(request, "RoleArn");
  Error error = explain_endpoint_refusal(made.error(), name, about);
  if (error.code == ErrorCode::limit_exceeded) error.hint = "ask Service Quotas for more of '" + options_.monitoring.instance_type + " for processing job usage', or name another instance_type";
  if (error.code == ErrorCode::permission_denied && error.where == name) return fail_about(name, made.error(), kProcessingCure);
  return fail(std::move(error));
}

Result<Json> SagemakerMonitor::to_the_end(const std::string& job) {
  const Interrupts interrupts;
  bool is_stopped = false;
  const auto look = [&](const Json& now) -> Result<bool> {
    if (Interrupts::came() && !is_stopped && !is_over(text(now, "ProcessingJobStatus"))) {
      is_stopped = true;
      TRY(client_.call("sagemaker", "StopProcessingJob", {{"ProcessingJobName", job}}));
    }
    return is_over(text(now, "ProcessingJobStatus"));
  };
  const WaitOptions wait{options_.poll_ms, options_.poll_ms, kStartSecondsMax + options_.monitoring.run_s_max};
  auto done = client_.wait_until("sagemaker", "DescribeProcessingJob", {{"ProcessingJobName", job}}, look, wait);
  return done ? done : Result<Json>(fail_about(job, done.error(), kProcessingCure));
}

Result<MonitorRun> SagemakerMonitor::run(const std::string& environment) {
  const Json request = TRY(request_of(environment, to_hex(crypto::random_bytes(8))));
  TRY(start(request));
  return results_of(TRY(to_the_end(text(request, "ProcessingJobName"))));
}

Result<MonitorRun> SagemakerMonitor::results_of(const Json& description) {
  if (text(description, "ProcessingJobStatus") != "Completed") return run_failure(description);
  std::string place = results_uri(description);
  if (!place.starts_with(options_.models_uri)) return fail(ErrorCode::invalid_argument, "the run's results do not lie where the endpoint's are", place);
  place = place.substr(options_.models_uri.size());
  if (!place.ends_with('/')) place += '/';
  MonitorRun run;
  run.name = text(description, "ProcessingJobName");
  run.drift = TRY(read(place + "drift.json"));
  run.statistics = TRY(read(place + "statistics.json"));
  run.constraints = TRY(read(place + "constraints.json"));
  run.violations = TRY(read(place + "constraint_violations.json"));
  return run;
}

Result<std::optional<std::string>> SagemakerMonitor::newest_job(const std::string& endpoint) {
  const bool is_scheduled_there = options_.monitoring.mode == MonitoringMode::model_monitor;
  if (is_scheduled_there) {
    const Json asked = {{"MonitoringScheduleName", endpoint + monitoring_kinds().front().suffix}, {"SortBy", "ScheduledTime"}, {"SortOrder", "Descending"}, {"MaxResults", 20}};
    const auto runs = client_.call("sagemaker", "ListMonitoringExecutions", asked);
    if (!runs) return fail_about(endpoint, runs.error(), "allow sagemaker:ListMonitoringExecutions");
    for (const auto& run : json_or(*runs, "MonitoringExecutionSummaries", Json::array())) {
      const std::string arn = text(run, "ProcessingJobArn");
      if (text(run, "MonitoringExecutionStatus").starts_with("Completed") && !arn.empty()) return std::optional(arn.substr(arn.rfind('/') + 1));
    }
    return std::optional<std::string>();
  }
  const auto jobs = client_.call("sagemaker", "ListProcessingJobs", {{"NameContains", runs_prefix(endpoint)}, {"StatusEquals", "Completed"}, {"SortBy", "CreationTime"}, {"SortOrder", "Descending"}, {"MaxResults", 20}});
  if (!jobs) return fail_about(endpoint, jobs.error(), kProcessingCure);
  for (const auto& job : json_or(*jobs, "ProcessingJobSummaries", Json::array())) {
    if (text(job, "ProcessingJobName").starts_with(runs_prefix(endpoint))) return std::optional(text(job, "ProcessingJobName"));
  }
  return std::optional<std::string>();
}

Result<std::optional<MonitorRun>> SagemakerMonitor::newest(const std::string& environment) {
  const auto job = TRY(newest_job(options_.name_prefix + "-" + environment));
  if (!job) return std::optional<MonitorRun>();
  const auto described = client_.call("sagemaker", "DescribeProcessingJob", {{"ProcessingJobName", *job}});
  if (!described) return fail_about(*job, described.error(), kProcessingCure);
  return std::optional(TRY(results_of(*described)));
}

}  // namespace redoubt::provider::aws
