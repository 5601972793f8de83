// SPDX-License-Identifier: Apache-2.0
//
// A JobSpec as SageMaker's CreateTrainingJob takes it. Every job has no way to the network but its subnets, encrypted traffic,
// volume and output; its name follows from what it does, so that whoever asks again finds the job that already runs.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "provider/job_runner.h"

namespace redoubt::provider::aws {

struct SagemakerJobOptions {
  // "123456789012.dkr.ecr.eu-central-1.amazonaws.com/redoubt"; the digest comes with the job. Any other registry has to be in
  // reach of the subnets.
  std::string image_repository;
  std::string role_arn;          // what the job may do: read its inputs, write its outputs, log
  std::string staging_uri;       // "s3://BUCKET/PREFIX/": where the keys of the staging store lie
  std::string kms_key;           // id, alias or ARN: volume and outputs
  std::vector<std::string> subnets, security_groups;  // both or none; none: SageMaker's own network
  std::string instance_type = "ml.m5.2xlarge";
  std::uint64_t volume_gib = 0;  // 0: as much as inputs and outputs need; not for types whose disks are their own
  bool spot = true;              // waits for spare capacity up to twice the job's time
  bool network_isolation = true;
  bool encrypt_traffic = true;   // between the containers of a job
  std::string experiment = "redoubt";  // empty: none
  std::string name_prefix = "redoubt";
  std::string workspace;         // its id: part of the jobs' identity, a tag, the trial's name
  std::map<std::string, std::string> tags = {};
  std::vector<std::string> program = {"/usr/bin/redoubt-engine"};  // the image's Entrypoint, for jobs other than "train"

  std::chrono::milliseconds poll{5'000};           // between two looks at a job
  std::chrono::milliseconds checkpoint_settle{0};  // how long a checkpoint in S3 has not changed before it is whole; 0: four looks
  std::chrono::milliseconds log_settle{0};         // how long to wait for late log lines after the end; 0: two looks
  std::chrono::seconds outage_max{600};               // how long the service may be away before the runner gives up watching
  std::chrono::seconds stop_max{900};                 // how long a stopped job may take to end
  std::size_t event_bytes_max = 256 << 10;            // of one JSON line, which is CloudWatch's own bound
  // Asked between two looks; true stops the job. Default: SIGINT or SIGTERM came while the job was watched.
  std::function<bool()> is_interrupted = {};
};

// invalid_argument for what SageMaker would refuse later: names, ARNs, addresses.
Status check_options(const SagemakerJobOptions& options);
// The same of a job: names of channels, paths, hyperparameters' number and length.
Status check_job(const JobSpec& spec);

// The start of the names of all attempts at one job, "redoubt-train-0123456789abcdef". Reads the channels where the job has no
// key of its own.
Result<std::string> job_family(const JobSpec& spec, const SagemakerJobOptions& options);
std::string job_name(const std::string& family, int attempt);
// The attempt that a name of the family is; 0 for another's.
int attempt_of(const std::string& family, const std::string& name);

// Where a job's objects lie below the staging store, each ending in '/'.
std::string inputs_of(const std::string& job);       // inputs_of(job) + channel + "/" + path
std::string checkpoints_of(const std::string& job);
std::string outputs_of(const std::string& job);      // SageMaker adds JOB/output/model.tar.gz and output.tar.gz

// CreateTrainingJob's members.
Result<Json> training_job_request(const std::string& job, const JobSpec& spec, const SagemakerJobOptions& options);
std::string trial_of(const SagemakerJobOptions& options);

// Types with disks of their own, which are encrypted by their hardware and take neither a key nor a size.
bool has_own_disks(std::string_view instance_type);

}  // namespace redoubt::provider::aws
