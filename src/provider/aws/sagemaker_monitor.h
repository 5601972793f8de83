// SPDX-License-Identifier: Apache-2.0
//
// EndpointMonitor over SageMaker: a run is a processing job of the very request that the schedule starts, kept in S3 since the
// deployment; its results are read back from there.
#pragma once

#include <memory>

#include "provider/aws/api/client.h"
#include "provider/aws/sagemaker_endpoint.h"
#include "provider/endpoint_monitor.h"
#include "provider/object_store.h"

namespace redoubt::provider::aws {

class SagemakerMonitor final : public EndpointMonitor {
 public:
  // Options as the endpoint's; `models` holds the objects below models_uri. Both references outlive the monitor.
  static Result<std::unique_ptr<SagemakerMonitor>> create(SagemakerEndpointOptions options, Client& client, ObjectStore& models);

  // SIGINT and SIGTERM stop the run, which is then unavailable.
  Result<MonitorRun> run(const std::string& environment) override;
  Result<std::optional<MonitorRun>> newest(const std::string& environment) override;

 private:
  SagemakerMonitor(SagemakerEndpointOptions options, Client& client, ObjectStore& models) : options_(std::move(options)), client_(client), models_(models) {}
  Result<Json> request_of(const std::string& environment, const std::string& id);
  Status start(const Json& request);
  Result<Json> to_the_end(const std::string& job);
  Result<std::optional<std::string>> newest_job(const std::string& endpoint);
  Result<Json> read(const std::string& key);
  Result<MonitorRun> results_of(const Json& description);

  const SagemakerEndpointOptions options_;
  Client& client_;
  ObjectStore& models_;
};

}  // namespace redoubt::provider::aws
