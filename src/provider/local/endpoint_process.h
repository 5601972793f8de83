// SPDX-License-Identifier: Apache-2.0
//
// The endpoint as a process of its own: started detached from the terminal, found again by its status file and lock, told
// to follow the newest deployment by SIGHUP and to drain and end by SIGTERM.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "provider/endpoint_host.h"
#include "provider/local/worker_host.h"

namespace redoubt::provider::local {

// How an endpoint's process is started.
struct EndpointProgram {
  std::string file = "/proc/self/exe";
  std::vector<std::string> arguments = {};  // from argv[0] on
};

class EndpointProcess {
 public:
  EndpointProcess(std::filesystem::path workspace, std::string environment, EndpointProgram program = {})
      : workspace_(std::move(workspace)), environment_(std::move(environment)), program_(std::move(program)) {}

  std::filesystem::path status_file() const;
  std::filesystem::path lock_file() const;
  std::filesystem::path log_file() const;
  Result<EndpointStatus> status() const;

  // Starts the process, or tells a running one to look at the ledger, and waits until it serves the deployment (its
  // statement's digest). unavailable with the process's own error when it does not within the deadline.
  Result<EndpointStatus> serve(const std::string& deployment) const;
  // Tells a running one to look at the ledger and its keys again, and waits until it has; no error when none runs,
  // unavailable when it does not within the deadline.
  Status reload() const;
  // Lets it finish its requests and waits for its end; no error when none runs.
  Status stop() const;

 private:
  Status spawn() const;
  std::filesystem::path workspace_;
  std::string environment_;
  EndpointProgram program_;
};

// The endpoint of an environment as a process of this machine, which reads release, keys and policy from the workspace itself.
class LocalEndpointHost final : public EndpointHost {
 public:
  // `program_of` says how an environment's process is started.
  LocalEndpointHost(std::filesystem::path workspace, std::function<EndpointProgram(const std::string& environment)> program_of)
      : workspace_(std::move(workspace)), program_of_(std::move(program_of)) {}
  Result<EndpointStatus> deploy(const EndpointSpec& spec) override { return process(spec.environment).serve(spec.deployment); }
  Result<EndpointStatus> status(const std::string& environment) override { return process(environment).status(); }
  // The process finds in the ledger what was withdrawn.
  Status withdraw(const std::string& environment, const std::string&, const std::string&) override { return process(environment).reload(); }
  Status stop(const std::string& environment) override { return process(environment).stop(); }
  bool rolls_out() const override { return true; }
  std::uint64_t worker_bytes_max() const override { return WorkerSpec().memory_bytes_max; }

 private:
  EndpointProcess process(const std::string& environment) const { return EndpointProcess(workspace_, environment, program_of_(environment)); }
  std::filesystem::path workspace_;
  std::function<EndpointProgram(const std::string&)> program_of_;
};

// Written by the process itself.
Status write_status(const std::filesystem::path& file, const EndpointStatus& status);

}  // namespace redoubt::provider::local
