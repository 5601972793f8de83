// SPDX-License-Identifier: Apache-2.0
//
// What a job in SageMaker reads and writes, in S3: inputs, checkpoints and outputs below jobs/JOB/. Plaintext but for the
// bucket's encryption, as SageMaker reads it, so it lies there no longer than the job. It never touches a disk of ours.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "provider/job_runner.h"
#include "provider/object_store.h"

namespace redoubt::provider::aws {

class JobStaging {
 public:
  using Now = std::chrono::steady_clock::time_point;

  JobStaging(ObjectStore& store, std::string job) : store_(store), job_(std::move(job)) {}

  // Sends the channels, and the checkpoints to go on from. unavailable as soon as `is_interrupted` says so.
  Status send(const JobSpec& spec, const std::function<bool()>& is_interrupted);
  // Checkpoints that the job was given are not its own; nor are those before them, which an earlier run may have given it.
  void skip_checkpoints(const std::vector<JobFile>& given);
  // Hands over checkpoints that did not change for `settle`, each once, in the order of their numbers. SageMaker copies a folder file by file and never says
  // when it is done.
  Status hand_over_checkpoints(JobHandler& handler, std::chrono::milliseconds settle, Now now);
  // The files of output.tar.gz, model.tar.gz; none where the job wrote nothing.
  Result<std::vector<JobFile>> unpack_output(const std::string& name, std::uint64_t bytes_max);
  Result<bool> has_outputs();
  // Everything of the job. Goes on after a failure and answers the first.
  Status remove();
  Status remove_but_outputs();

 private:
  struct Seen {
    std::map<std::string, std::uint64_t> files;  // path below the checkpoint -> size
    Now since;
  };
  Result<std::map<std::string, std::map<std::string, std::uint64_t>>> list_checkpoints();
  Status send_files(const std::string& prefix, const std::vector<JobFile>& files, const std::function<bool()>& is_interrupted);

  ObjectStore& store_;
  std::string job_;
  std::set<std::string> handed_over_;
  std::uint64_t given_ = 0;  // the highest number of a checkpoint that the job was given
  std::map<std::string, Seen> seen_;
};

// Removes what is left of other attempts at the job.
Status remove_other_attempts(ObjectStore& store, const std::string& family, const std::string& job);

}  // namespace redoubt::provider::aws
