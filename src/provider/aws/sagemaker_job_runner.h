// SPDX-License-Identifier: Apache-2.0
//
// JobRunner over SageMaker's training jobs. A job outlives the process that started it: who runs the same job again finds it
// and goes on watching, or takes what it gave back meanwhile; a second one is never started. What it reads and writes lies in
// S3 until its end.
#pragma once

#include <memory>

#include "provider/aws/api/client.h"
#include "provider/aws/training_job.h"
#include "provider/object_store.h"

namespace redoubt::provider::aws {

// One job at a time in a process, because Ctrl-C stops the one that is watched.
class SagemakerJobRunner final : public JobRunner {
 public:
  // `staging` holds the objects below options.staging_uri, encrypted by the bucket alone. Both must outlive the runner.
  static Result<std::unique_ptr<SagemakerJobRunner>> create(SagemakerJobOptions options, Client& client, ObjectStore& staging);
  // Besides JobRunner's: interrupted, the job is stopped and the answer is unavailable. When the service is away for longer
  // than outage_max, or refuses to show the job, the job goes on and the answer is that error.
  Result<JobResult> run(const JobSpec& spec, JobHandler& handler) override;

 private:
  SagemakerJobRunner(SagemakerJobOptions options, Client& client, ObjectStore& staging)
      : options_(std::move(options)), client_(client), staging_(staging) {}
  struct Attempt;
  Result<Attempt> find_or_start(const JobSpec& spec);
  Result<Attempt> newest(const std::string& family);
  Status start(const std::string& job, const JobSpec& spec);
  Status create_job(const std::string& job, const JobSpec& spec);
  Status ensure_trial();
  Status resolve_key();
  Status ensure(const char* operation, const std::string& name, const Json& request);

  SagemakerJobOptions options_;
  Client& client_;
  ObjectStore& staging_;
  std::string kms_key_;  // its ARN, once it was asked for
};

}  // namespace redoubt::provider::aws
