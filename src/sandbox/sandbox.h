// SPDX-License-Identifier: Apache-2.0
//
// Runs one program out of an OCI image with nothing of the host in reach. Guarantee: before the program's first instruction
// the parent has read from the kernel that it has its own user, mount, pid, ipc, network, uts and cgroup namespaces, no
// capability, no way to gain one, a system call filter, and a read-only root without a mount of the host; otherwise it isn't
// started. All processes end with the sandbox, the sandbox with its parent. What the program reads and writes lives in
// /opt/ml, a memory-backed mount that only this object can reach (docs/sandbox.md).
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "sandbox/cgroup.h"
#include "sandbox/work_folder.h"

namespace redoubt::sandbox {

struct Limits {
  std::uint64_t root_bytes_max = 8ull << 30;        // of the unpacked image
  std::uint64_t root_entries_max = 200'000;         // files, folders and links of the image
  std::uint64_t work_bytes_max = 4ull << 30;        // of /opt/ml, inputs and outputs together
  std::uint64_t work_files_max = 20'000;            // files and folders in /opt/ml
  std::uint64_t temporary_bytes_max = 64ull << 20;  // of /tmp
  std::uint64_t memory_bytes_max = 12ull << 30;     // by cgroup where one can be used, else data of each process
  std::uint64_t processes_max = 512;                // processes and threads
  std::uint64_t open_files_max = 1024;              // of each process
};

// What has to be had beyond the guarantee above; `create` answers unsupported when this machine can't give it.
struct Requirements {
  bool landlock = false;
  bool memory_cgroup = false;
};

struct Options {
  std::vector<std::unique_ptr<Source>> layers;  // tar, tar+gzip or tar+zstd, the lowest first; read once
  Limits limits;
  Requirements require;
};

enum class MemoryLimit { cgroup_v1, cgroup_v2, process_data };  // process_data: RLIMIT_DATA of each process

// What confines the program, as found out on this machine.
struct Confinement {
  unsigned host_user = 0;  // the user outside; inside it is 65532
  int landlock_abi = 0;    // 0: this kernel has no Landlock
  MemoryLimit memory = MemoryLimit::process_data;
  std::vector<std::string> proved;  // one sentence each, after `start`
};
Json to_json(const Confinement& confinement);

struct InheritedFd {
  int fd = -1;                       // stays the caller's
  std::string environment_variable;  // receives the number inside; may be empty
};

struct Command {
  std::vector<std::string> arguments;    // the first is an absolute path inside
  std::vector<std::string> environment;  // "NAME=value"; nothing of the parent's is added
  std::vector<InheritedFd> inherited;    // become 3, 4...; every other descriptor is closed
};

// Receives the program's output while `wait` runs; an error ends the program and is what `wait` answers.
class OutputHandler {
 public:
  virtual ~OutputHandler() = default;
  virtual Status on_stdout(std::string_view line) = 0;  // without its newline
  virtual Status on_stderr(std::string_view line) = 0;  // longer lines arrive in pieces of the limit
  virtual Status on_tick() { return {}; }               // about every `tick`
};

struct WaitOptions {
  std::chrono::milliseconds time_max{24 * 3600 * 1000ll};  // then it is killed
  std::chrono::milliseconds tick{250};
  std::size_t stdout_line_bytes_max = 1 << 20;  // a longer one is limit_exceeded and ends the program
  std::size_t stderr_line_bytes_max = 4096;
};

enum class Ending { exited, signalled, timed_out, out_of_memory, killed };

struct Exit {
  Ending ending = Ending::exited;
  int code = 0;  // the exit code, or 128 + the signal
};

// What the program and its processes used.
struct Usage {
  double processor_seconds = 0;          // of all of them, in user and kernel mode
  std::uint64_t resident_bytes_peak = 0;  // of the largest one
};

class Sandbox {
 public:
  // Builds the namespaces and unpacks the image; nothing of it runs yet. unsupported when this machine can't confine, with
  // a hint; invalid_argument for an image that must not be unpacked; the error of a layer's source (tampered).
  static Result<std::unique_ptr<Sandbox>> create(Options options);
  ~Sandbox();  // kills what still runs; then /opt/ml is gone
  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;

  WorkFolder& work() { return *work_; }
  const Confinement& confinement() const { return confinement_; }
  // Proves the confinement and starts the program. Once only.
  Status start(const Command& command);
  // Blocks until the program ended, and every process with it. Once only; one thread.
  Result<Exit> wait(const WaitOptions& options, OutputHandler& handler);
  // Known once `wait` answered; of a program that was killed, what the kernel had added up by then.
  const Usage& usage() const { return usage_; }
  // Ends everything inside; safe from any thread, also while another waits.
  void kill();
  // The first process of the program as the host numbers it, after `start`.
  pid_t pid() const { return program_; }

 private:
  Sandbox() = default;
  Status set_up(Options& options);
  Status send_layers(std::vector<std::unique_ptr<Source>>& layers);
  Status prepare_cgroup(const Limits& limits, const Requirements& require);
  Status check_and_release(int gate);
  Result<Exit> watch(const WaitOptions& options, OutputHandler& handler);
  Result<int> read_status(bool& ended);
  void reap();

  pid_t supervisor_ = -1;
  pid_t init_ = -1;
  pid_t program_ = -1;
  bool reaped_ = false;
  Fd control_, lifeline_, stdout_, stderr_;
  std::unique_ptr<WorkFolder> work_;
  std::unique_ptr<Cgroup> cgroup_;
  Limits limits_;
  Confinement confinement_;
  Usage usage_;
};

}  // namespace redoubt::sandbox
