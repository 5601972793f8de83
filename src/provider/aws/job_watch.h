// SPDX-License-Identifier: Apache-2.0
//
// Watches one training job to its end: its log live, its checkpoints as they appear, its state; stops it when asked to.
#pragma once

#include <optional>

#include "provider/aws/api/client.h"
#include "provider/aws/job_logs.h"
#include "provider/aws/job_staging.h"
#include "provider/aws/training_job.h"

namespace redoubt::provider::aws {

class JobWatch {
 public:
  JobWatch(Client& client, JobStaging& staging, const SagemakerJobOptions& options, std::string job, JobHandler& handler);
  ~JobWatch();

  // The description of the job that has ended. An error leaves the job running, unless `refused` or `interrupted` says why it
  // was stopped.
  Result<Json> to_the_end();
  const std::optional<Error>& refused() const;  // what the handler answered
  bool interrupted() const { return interrupted_; }

 private:
  using Time = std::chrono::steady_clock::time_point;
  class Guard;
  Result<std::optional<Json>> look();
  Status listen(bool at_the_end);
  Status settle();
  Status stop();
  Status tolerate(Status status);
  void pause();

  Client& client_;
  JobStaging& staging_;
  const SagemakerJobOptions& options_;
  std::string job_, shown_;
  JobLogs logs_;
  std::unique_ptr<Guard> guard_;
  bool interrupted_ = false;
  std::optional<Time> stopped_at_, away_since_;
};

}  // namespace redoubt::provider::aws
