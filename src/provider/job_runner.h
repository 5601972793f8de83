// SPDX-License-Identifier: Apache-2.0
//
// Runs one containerised job under SageMaker's container contract: input under /opt/ml/input, results under /opt/ml/model and
// /opt/ml/output, checkpoints under /opt/ml/checkpoints. Guarantee: the job sees its channels and nothing else of the host;
// what it wrote is handed back only through JobHandler. The job's plaintext lives in memory-backed mounts.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/stream.h"

namespace redoubt::provider {

// One input file: opened when the job starts, read once from start to end.
struct JobFile {
  std::string path;  // relative, below its channel
  std::function<Result<std::unique_ptr<RandomAccess>>()> open;
};

struct JobSpec {
  std::string image;                                     // OCI manifest digest, "sha256:..."
  std::string entry_point;                               // "train", "evaluate", "generate", "tokenize"
  Json hyperparameters = Json::object();                 // written to /opt/ml/input/config/hyperparameters.json as given
  std::map<std::string, std::vector<JobFile>> channels;  // /opt/ml/input/data/<channel>/<path>
  std::vector<JobFile> checkpoints;                      // put back under /opt/ml/checkpoints before the start
  std::uint64_t memory_bytes_max = 12ull << 30;          // address space is not limited, memory is, where cgroups allow it
  std::uint64_t output_bytes_max = 4ull << 30;           // of /opt/ml/model, /opt/ml/output and /opt/ml/checkpoints together
  int time_s_max = 24 * 3600;
  // Machines that run the entry point together. More than one is unsupported by runners that have one machine; the others put
  // the channel "certificates" beside the spec's own, by which the machines know each other (docs/distributed.md).
  int instances = 1;
  // What the work is of: jobs with one key do the same work, so that who is started again can go on watching the one that
  // runs. Empty: known by all that the job is given.
  std::string key = {};
};

struct JobResult {
  int exit_code = 0;
  // What the job wrote to /opt/ml/output/failure (its first 1024 bytes; a service that frames it within as many keeps fewer), or
  // how it was ended.
  std::string failure;
  std::string where = {};  // where it ran, for a person who looks for it: a training job's name; empty on this machine
};

// Receives what a job gives back, in the order it happens; an error from it ends the job.
class JobHandler {
 public:
  virtual ~JobHandler() = default;
  virtual Status on_event(const Json& event) = 0;  // one JSON line of the job's stdout
  virtual Status on_log(std::string_view line) = 0;  // one line of its stderr, at most 4096 bytes
  // Where a job that runs elsewhere has got to, for a person: "training job redoubt-train-...: Downloading".
  virtual Status on_state(std::string_view) { return {}; }
  // What the job used, as the runner measured it, once after its end: wall_seconds, processor_seconds, resident_bytes_peak.
  virtual Status on_usage(const Json&) { return {}; }
  // A finished checkpoint folder below /opt/ml/checkpoints ("checkpoint-40"): complete when its name has no ".tmp" ending.
  virtual Status on_checkpoint(const std::string& name, const std::vector<JobFile>& files) = 0;
  virtual Status on_model(const std::vector<JobFile>& files) = 0;   // /opt/ml/model, once, after exit code 0
  virtual Status on_output(const std::vector<JobFile>& files) = 0;  // /opt/ml/output/data, once, after the end
};

class JobRunner {
 public:
  virtual ~JobRunner() = default;
  // Blocks until the job ends. A job that fails is a JobResult with its exit code; an Error is the runner's own failure.
  virtual Result<JobResult> run(const JobSpec& spec, JobHandler& handler) = 0;
};

}  // namespace redoubt::provider
