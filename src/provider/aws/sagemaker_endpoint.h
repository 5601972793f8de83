// SPDX-License-Identifier: Apache-2.0
//
// EndpointHost over SageMaker: a model (the image by its digest, the release in S3), an endpoint configuration and one endpoint an
// environment. Models and configurations are named by what is in them, so that asking again finds them; those that serve no more
// and are not the ones to go back to are removed. Which version serves is told by the configuration that the endpoint names and its
// entry in the journal; tags are for people and bills alone.
#pragma once

#include <memory>
#include <optional>
#include <set>

#include "provider/aws/api/client.h"
#include "provider/aws/endpoint_journal.h"
#include "provider/aws/monitoring_options.h"
#include "provider/endpoint_host.h"
#include "provider/object_store.h"

namespace redoubt::provider::aws {

// A Route 53 record of this region's endpoint, beside another region's of the same name.
struct FailoverOptions {
  std::string hosted_zone, record;  // empty: none
  std::string role = "PRIMARY";     // or "SECONDARY"
  std::string health_check;         // its id; the primary needs one
};

struct SagemakerEndpointOptions {
  std::string name_prefix = "redoubt";  // "redoubt-production" is the endpoint of production
  std::string workspace = {};           // its id: a tag; another workspace's endpoint of that name is left alone
  std::string image_repository = {};    // "123456789012.dkr.ecr.eu-central-1.amazonaws.com/redoubt"
  std::string role_arn = {};            // of the instances
  std::string models_uri = {};          // "s3://BUCKET/PREFIX/": where the keys of the model store lie
  std::string kms_key = {};             // volumes and captures
  std::string capture_uri = {};         // "s3://..."; empty: captures/ below models_uri
  std::vector<std::string> subnets = {}, security_groups = {};  // both or none; none: SageMaker's own network
  std::string instance_type = "ml.m5.xlarge";
  int instances = 1, instances_max = 1;
  int invocations_per_instance = 60;  // a minute: what scaling aims at
  int canary_percent = 10;            // of the new fleet; a fleet of one takes all traffic at once
  int canary_wait_s = 300;
  int healthy_s_max = 1800;           // how long a container may take to answer, and the whole change besides its waits
  int wait_s_max = 0;                 // how long a change is waited for, which goes on without us; 0: change_s_max
  // Besides the endpoint's own two, of errors and latency; eight at most. In ALARM while a new fleet comes up, the old one stays.
  std::vector<std::string> rollback_alarms = {};
  std::string topic_arn = {};         // hears of the endpoint's own alarms; empty: nobody
  FailoverOptions failover = {};
  MonitoringOptions monitoring = {};
  int poll_ms = 10'000;
};

class SagemakerEndpoint final : public EndpointHost {
 public:
  // invalid_argument for what SageMaker would refuse later. `models` holds the objects below models_uri, encrypted by the bucket.
  // Both references outlive the host.
  static Result<std::unique_ptr<SagemakerEndpoint>> create(SagemakerEndpointOptions options, Client& client, ObjectStore& models);

  Result<EndpointStatus> deploy(const EndpointSpec& spec) override;
  Result<EndpointStatus> status(const std::string& environment) override;
  // The whole endpoint is stopped: nothing else of it was approved by this decision.
  Status withdraw(const std::string& environment, const std::string& model, const std::string& version) override;
  Status stop(const std::string& environment) override;

  std::string endpoint_of(const std::string& environment) const { return options_.name_prefix + "-" + environment; }

 private:
  SagemakerEndpoint(SagemakerEndpointOptions options, Client& client, ObjectStore& models) : options_(std::move(options)), client_(client), models_(models) {}
  // Names and requests of one deployment.
  struct Plan {
    std::string endpoint;
    EndpointEntry entry;
    Json model_request, config_request;
  };
  // An endpoint that is there; no entry: this models' place knows nothing of its configuration.
  struct Standing {
    Json shown;  // DescribeEndpoint's answer
    std::optional<EndpointEntry> made;
  };
  Plan plan_of(const EndpointSpec& spec) const;
  Json tags_of(const EndpointSpec& spec) const;
  Result<std::optional<Json>> describe(const std::string& endpoint);
  Result<std::optional<Standing>> find(const std::string& environment);
  Result<std::optional<Standing>> find_own(const std::string& environment);
  Result<std::optional<Standing>> make_ready(const std::string& environment);
  bool is_own(const Standing& standing) const { return standing.made && standing.made->workspace == options_.workspace; }
  Status send_files(const EndpointSpec& spec);
  Status ensure(const char* what, const std::string& name, const Json& request);
  Status remove(const char* what, const std::string& name);
  Result<std::optional<Json>> settle(const std::string& endpoint);
  Result<Json> make(const Plan& plan, const EndpointSpec& spec, const std::optional<Standing>& before);
  Status begin(const Plan& plan, const EndpointSpec& spec, const std::optional<Standing>& before);
  Result<bool> has_begun(const Plan& plan, bool is_new);
  Result<Json> change(const Plan& plan, const EndpointSpec& spec, const std::optional<Standing>& before);
  void tidy_up(const EndpointSpec& spec, const Plan& plan, bool is_new);
  Status watch(const std::string& endpoint, const EndpointSpec& spec);
  Status scale(const std::string& endpoint);
  enum class RecordMode { set, remove };
  Status point_record(const std::string& endpoint, RecordMode mode);
  Status remove_endpoint(const std::string& endpoint);
  Status prune(const std::string& environment, const std::set<std::string>& kept_configs);
  EndpointStatus status_of(const Json& shown, const EndpointEntry& made) const;

  const SagemakerEndpointOptions options_;
  Client& client_;
  ObjectStore& models_;
};

}  // namespace redoubt::provider::aws
