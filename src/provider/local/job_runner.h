// SPDX-License-Identifier: Apache-2.0
//
// The embedded JobRunner: each job is one sandbox on this machine. The image is named by digest, checked as it is unpacked,
// and started only after the sandbox's proof.
#pragma once

#include <functional>
#include <memory>

#include "provider/image_store.h"
#include "provider/job_runner.h"
#include "sandbox/sandbox.h"

namespace redoubt::provider::local {

struct LocalJobRunnerOptions {
  sandbox::Requirements require;
  std::size_t event_bytes_max = 1 << 20;  // of one JSON line of the job
  // Told once a job's confinement is proved and the job runs: for the record of the step.
  std::function<void(const sandbox::Confinement&)> on_confined = [](const sandbox::Confinement&) {};
};

// Safe to use from several threads.
class LocalJobRunner final : public JobRunner {
 public:
  LocalJobRunner(LocalJobRunnerOptions options, ImageStore& images) : options_(std::move(options)), images_(images) {}
  Result<JobResult> run(const JobSpec& spec, JobHandler& handler) override;

 private:
  LocalJobRunnerOptions options_;
  ImageStore& images_;
};

// Bytes of /opt/ml that the inputs of `files` need, rounded as the memory-backed mount does.
Result<std::uint64_t> input_bytes(const std::vector<JobFile>& files);
// Copies `files` below `folder` of the sandbox's /opt/ml.
Status write_inputs(sandbox::WorkFolder& work, const std::string& folder, const std::vector<JobFile>& files);

}  // namespace redoubt::provider::local
