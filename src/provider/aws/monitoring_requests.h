// SPDX-License-Identifier: Apache-2.0
//
// What SageMaker, EventBridge Scheduler and CloudWatch Logs are asked for the monitor of an endpoint.
#pragma once

#include <vector>

#include "provider/aws/sagemaker_endpoint.h"

namespace redoubt::provider::aws {

// Stands for a run's id in what is the same for every run; EventBridge Scheduler puts its own there.
constexpr const char* kRunId = "<aws.scheduler.execution-id>";
constexpr const char* kProcessingLogs = "/aws/sagemaker/ProcessingJobs";

Status check_monitoring_options(const MonitoringOptions& options);

// Keys below models_uri: "monitoring/production/".
std::string monitoring_prefix(const std::string& environment);
std::string job_key(const std::string& environment);  // the request of a run, with kRunId in it
std::string modes_key(const std::string& environment);  // of which mode something may be there
// "redoubt-production-drift-": how the names of runs begin. A long endpoint's is cut, so that a run's id of 36 characters fits a job's 63.
std::string runs_prefix(const std::string& endpoint);

// CreateProcessingJob's members for a run over all that the endpoint captured; `baseline` is the key's prefix of its statistics.
Json drift_job_request(const std::string& endpoint, const EndpointSpec& spec, const SagemakerEndpointOptions& options, const std::string& baseline);
// CreateSchedule's members for it.
Json schedule_request(const std::string& endpoint, const Json& job, const SagemakerEndpointOptions& options, const std::string& partition);
std::string schedule_name(const std::string& endpoint);
// PutMetricFilter's members: what runs say of drift becomes the metric DataDrift, by environment, and by workspace and environment.
std::vector<Json> metric_filters(const std::string& endpoint, const SagemakerEndpointOptions& options);

// One of Model Monitor's four kinds.
struct MonitoringKind {
  const char* type;    // "DataQuality": as in the operations' names
  const char* suffix;  // of the names of its schedule and definitions
};
const std::vector<MonitoringKind>& monitoring_kinds();
// Create...JobDefinition's members but name and tags; null where the options do not name the kind.
Json definition_request(const MonitoringKind& kind, const std::string& endpoint, const EndpointSpec& spec, const SagemakerEndpointOptions& options, const std::string& baseline);
Json monitoring_schedule_config(const MonitoringKind& kind, const std::string& definition, const SagemakerEndpointOptions& options);

}  // namespace redoubt::provider::aws
