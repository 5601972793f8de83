// SPDX-License-Identifier: Apache-2.0
//
// The endpoint as a process of its own: started detached from the terminal, found again by its status file and lock, told
// to follow the newest deployment by SIGHUP and to drain and end by SIGTERM.
#pragma once

#include <filesystem>
#include <string>

#include "cli/command.h"

namespace redoubt::cli {

// What an endpoint process says about itself, beside the workspace's files; nothing secret.
struct EndpointStatus {
  bool running = false;
  int pid = 0;
  std::string state;  // "starting", "serving", "revoked", "failed", "stopped"
  std::string url, ca_file, name, version, deployment, error, started;
  std::int64_t looks_begun = 0, looks_done = 0;  // at the ledger and the keys, each because somebody told it to
  Json to_json() const;
};

class EndpointProcess {
 public:
  EndpointProcess(std::filesystem::path workspace, std::string environment) : workspace_(std::move(workspace)), environment_(std::move(environment)) {}

  std::filesystem::path status_file() const;
  std::filesystem::path lock_file() const;
  std::filesystem::path log_file() const;
  Result<EndpointStatus> status() const;

  // Starts the process, or tells a running one to look at the ledger, and waits until it serves the deployment (its
  // statement's digest). unavailable with the process's own error when it does not within the deadline.
  Result<EndpointStatus> serve(const GlobalOptions& options, const std::string& deployment) const;
  // Tells a running one to look at the ledger and its keys again, and waits until it has; no error when none runs,
  // unavailable when it does not within the deadline.
  Status reload() const;
  // Lets it finish its requests and waits for its end; no error when none runs.
  Status stop() const;

 private:
  Status spawn(const GlobalOptions& options) const;
  std::filesystem::path workspace_;
  std::string environment_;
};

// Written by the process itself.
Status write_status(const std::filesystem::path& file, const EndpointStatus& status);

}  // namespace redoubt::cli
