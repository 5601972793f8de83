// SPDX-License-Identifier: Apache-2.0
//
// Engine workers behind the endpoint: each is a sandbox that has the model in /opt/ml/model and one connected socket, nothing
// else. What comes out of the socket is untrusted: read it with `recv`, never take descriptors from it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "provider/image_store.h"
#include "provider/job_runner.h"
#include "sandbox/sandbox.h"

namespace redoubt::provider::local {

struct WorkerSpec {
  std::string image;                     // OCI manifest digest
  std::vector<JobFile> base;             // to /opt/ml/model/base
  std::vector<JobFile> adapter;          // to /opt/ml/model/adapter; may be empty
  Json hyperparameters = Json::object();  // to /opt/ml/input/config/hyperparameters.json
  std::string entry_point = "serve";
  std::uint64_t memory_bytes_max = 12ull << 30;
  sandbox::Requirements require;
  // Lines of the worker's stderr (and stdout), at most 4096 bytes; called on a thread of the worker's own.
  std::function<void(std::string_view)> on_log = [](std::string_view) {};
};

// One running worker. Dropping it ends it.
class Worker {
 public:
  static Result<std::unique_ptr<Worker>> start(const WorkerSpec& spec, ImageStore& images);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Our end of the connected stream socket (the worker protocol); blocking, close-on-exec. Closed with the worker.
  int socket() const { return socket_.get(); }
  pid_t pid() const { return sandbox_->pid(); }
  const sandbox::Confinement& confinement() const { return sandbox_->confinement(); }
  // From any thread.
  void kill() { sandbox_->kill(); }
  // Blocks until the worker ended and answers how; once only, one thread.
  Result<sandbox::Exit> wait();

 private:
  Worker() = default;
  std::unique_ptr<sandbox::Sandbox> sandbox_;
  Fd socket_;
  std::function<void(std::string_view)> on_log_;
  Result<sandbox::Exit> exit_ = sandbox::Exit{};
  std::thread reader_;  // drains the worker's output until its end
};

}  // namespace redoubt::provider::local
