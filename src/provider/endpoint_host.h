// SPDX-License-Identifier: Apache-2.0
//
// Where admitted versions are served: one endpoint an environment. Whether a version may be served is decided before (admission,
// the ledger's deploy statement). Guarantee: what `deploy` answered for is what answers; a deployment that fails leaves what served
// before serving, and the same deployment again makes nothing twice. Used by one thread.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "provider/job_runner.h"

namespace redoubt::provider {

// What an endpoint's prompts are compared with, in SageMaker Model Monitor's form.
struct DriftBaseline {
  Json statistics, constraints;
};

struct EndpointSpec {
  std::string environment;     // "dev", "staging", "production"
  std::string model, version;  // "command-assistant", "1.2.0"
  std::string deployment;      // "sha256:..." of the deploy statement
  std::string image;           // OCI manifest digest, "sha256:..."
  std::string release;         // "sha256:..." of the release's manifest
  // The release's files ("base/config.json", "adapter/..."), for hosts that do not read the workspace themselves.
  std::function<Result<std::vector<JobFile>>()> files = [] { return Result<std::vector<JobFile>>(std::vector<JobFile>()); };
  // Of the model's training data, for hosts whose captures are watched elsewhere; nothing where it has too few prompts for one.
  std::function<Result<std::optional<DriftBaseline>>()> baseline = [] { return Result<std::optional<DriftBaseline>>(std::optional<DriftBaseline>()); };
  double errors_per_minute_max = 10, latency_p99_ms_max = 1000;  // above them an alarm rises, for hosts that watch by themselves
  Json engine = Json::object();  // what each engine worker is started with: slots, context, weights
  bool capture = true;    // requests and answers are kept, sealed
  double capture_share = 1;  // of them, drawn by chance
  bool rollback = false;  // to what served before: all traffic at once
};

// What an endpoint says of itself; nothing secret.
struct EndpointStatus {
  bool running = false;
  int pid = 0;         // of an endpoint on this machine
  std::string state;   // "starting", "serving", "updating", "revoked", "failed", "stopped"
  std::string url, ca_file, name, version, deployment, error, started;
  std::string candidate;   // the deployment that is tried beside it
  Json rollout = Json::object();  // how that stands
  std::int64_t looks_begun = 0, looks_done = 0;  // of an endpoint on this machine at the ledger and the keys, each because somebody told it to
  int drain_s = 0;  // so long requests under way may have when an endpoint on this machine stops
  Json to_json() const;
};

class EndpointHost {
 public:
  virtual ~EndpointHost() = default;
  // Serves it, instead of what the environment serves now, and waits until it answers. unavailable with the endpoint's own reason when
  // it does not; gate_refused when it did and its alarms turned it back.
  virtual Result<EndpointStatus> deploy(const EndpointSpec& spec) = 0;
  // "stopped" where nothing serves.
  virtual Result<EndpointStatus> status(const std::string& environment) = 0;
  // That version is served no longer, where it was.
  virtual Status withdraw(const std::string& environment, const std::string& model, const std::string& version) = 0;
  // Requests under way are answered, then all that was made for the environment goes. No error where nothing serves.
  virtual Status stop(const std::string& environment) = 0;
  // Whether a deployment may come into service beside what serves, by a plan of its statement.
  virtual bool rolls_out() const { return false; }
  // The memory that one engine worker may take; 0 where only the machine that it comes to knows.
  virtual std::uint64_t worker_bytes_max() const { return 0; }
};

}  // namespace redoubt::provider
