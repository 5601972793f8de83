// SPDX-License-Identifier: Apache-2.0
//
// Sets up what watches an endpoint and takes it down again: the baseline in S3, what a run is, and who starts runs (EventBridge
// Scheduler, or Model Monitor's schedules). Everything is named by the endpoint, definitions and baselines by what is in them too,
// so that asking again finds them and what an earlier version left goes.
#pragma once

#include "provider/aws/api/client.h"
#include "provider/aws/monitoring_requests.h"
#include "provider/object_store.h"

namespace redoubt::provider::aws {

class SagemakerMonitoring {
 public:
  // `models` holds the objects below models_uri. All of them outlive it.
  SagemakerMonitoring(const SagemakerEndpointOptions& options, Client& client, ObjectStore& models) : options_(options), client_(client), models_(models) {}

  // How the options want it watched: "off", "processing", "model-monitor".
  std::string mode() const;
  // The endpoint is watched as the options say, for this version; what another mode left goes.
  Status set(const std::string& endpoint, const EndpointSpec& spec);
  // Nothing of the monitor is left but the results of its runs.
  Status remove(const std::string& endpoint, const std::string& environment);

 private:
  Result<std::string> put_baseline(const EndpointSpec& spec, const Json& statistics, const Json& constraints);
  Status prune_baselines(const std::string& environment, const std::string& kept);
  Result<std::string> modes_there(const std::string& environment);
  Status set_metric(const std::string& endpoint);
  Status set_schedule(const std::string& endpoint, const Json& job);
  Status remove_schedule(const std::string& endpoint);
  Status set_model_monitor(const std::string& endpoint, const EndpointSpec& spec, const std::string& baseline);
  Status set_kind(const MonitoringKind& kind, const std::string& endpoint, const EndpointSpec& spec, const Json& request);
  Status remove_model_monitor(const std::string& endpoint);
  Status remove_monitoring_schedule(const std::string& name);
  Status prune_definitions(const MonitoringKind& kind, const std::string& endpoint, const std::string& kept);
  Status settle(const std::string& schedule);

  const SagemakerEndpointOptions& options_;
  Client& client_;
  ObjectStore& models_;
};

}  // namespace redoubt::provider::aws
