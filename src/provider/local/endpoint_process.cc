// SPDX-License-Identifier: Apache-2.0
#include "provider/local/endpoint_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <limits>
#include <thread>

#include "base/file.h"

namespace redoubt::provider::local {
namespace fs = std::filesystem;
namespace {

constexpr auto kStartDeadline = std::chrono::seconds(120);
constexpr auto kStopDeadline = std::chrono::seconds(60);  // after the requests under way
constexpr auto kPollInterval = std::chrono::milliseconds(50);

// In the child between fork and exec: only async-signal-safe calls.
[[noreturn]] void become_endpoint(const char* program, char* const* arguments, int log) {
  ::setsid();
  const int null = ::open("/dev/null", O_RDWR);
  ::dup2(null, STDIN_FILENO);
  ::dup2(log, STDOUT_FILENO);
  ::dup2(log, STDERR_FILENO);
  ::execv(program, arguments);
  ::_exit(127);
}

}  // namespace

Status write_status(const fs::path& file, const EndpointStatus& status) {
  return write_file(file, dump_json(status.to_json()) + "\n", FileMode::readable_by_all);
}

fs::path EndpointProcess::status_file() const { return workspace_ / ("endpoint-" + environment_ + ".json"); }
fs::path EndpointProcess::lock_file() const { return workspace_ / ("endpoint-" + environment_ + ".lock"); }
fs::path EndpointProcess::log_file() const { return workspace_ / ("endpoint-" + environment_ + ".log"); }

Result<EndpointStatus> EndpointProcess::status() const {
  EndpointStatus status;
  status.state = "stopped";
  if (!is_there(status_file())) return status;
  const std::string where = status_file().string();
  const Json json = TRY(parse_json(TRY(read_text_file(status_file(), 64 << 10)), where));
  const auto pid = TRY(json_integer(json, "pid", where));
  // It is sent signals: 0 and less are whole groups of processes.
  if (pid <= 0 || pid > std::numeric_limits<int>::max()) return fail(ErrorCode::tampered, "the endpoint's status names no process", where, "end the endpoint by hand, then remove this file");
  status.pid = static_cast<int>(pid);
  status.state = TRY(json_string(json, "state", where));
  status.url = TRY(json_string(json, "url", where));
  status.ca_file = TRY(json_string(json, "ca_file", where));
  status.name = TRY(json_string(json, "model", where));
  status.version = TRY(json_string(json, "version", where));
  status.deployment = TRY(json_string(json, "deployment", where));
  status.error = TRY(json_string(json, "error", where));
  status.candidate = json_or(json, "candidate", "");
  status.rollout = json_or(json, "rollout", Json::object());
  status.started = TRY(json_string(json, "started", where));
  status.looks_begun = TRY(json_integer(json, "looks_begun", where));
  status.looks_done = TRY(json_integer(json, "looks_done", where));
  status.drain_s = static_cast<int>(json_or(json, "drain_s", std::int64_t{0}));
  // A lock that can be had belongs to nobody: the process has ended, whatever its file says.
  status.running = is_there(lock_file()) && !FileLock::try_acquire(lock_file());
  if (status.running || status.state == "failed") return status;
  if (status.state != "stopped") status.error = "the process ended without being told to; its log says what it last did: " + log_file().string();
  status.state = "stopped";
  return status;
}

Status EndpointProcess::spawn() const {
  Fd log(::open(log_file().c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!log) return fail_errno(errno, "open the endpoint's log", log_file().string());
  std::error_code ignored;
  fs::remove(status_file(), ignored);
  std::vector<std::string> arguments = program_.arguments;
  std::vector<char*> pointers;
  for (auto& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  const pid_t first = ::fork();
  if (first < 0) return fail_errno(errno, "start the endpoint", environment_);
  if (first == 0) {
    // A second fork gives the endpoint to init, so that nobody has to wait for it.
    const pid_t second = ::fork();
    if (second == 0) become_endpoint(program_.file.c_str(), pointers.data(), log.get());
    ::_exit(second < 0 ? 1 : 0);
  }
  int ended = 0;
  ::waitpid(first, &ended, 0);
  return {};
}

Result<EndpointStatus> EndpointProcess::serve(const std::string& deployment) const {
  const EndpointStatus before = TRY(status());
  const auto serves = [&](const EndpointStatus& one) { return one.running && one.state == "serving" && (one.deployment == deployment || one.candidate == deployment); };
  if (serves(before)) return before;
  if (before.running) {
    ::kill(before.pid, SIGHUP);
  } else {
    TRY(spawn());
  }
  const auto deadline = std::chrono::steady_clock::now() + kStartDeadline;
  while (std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(kPollInterval);
    const EndpointStatus now = TRY(status());
    if (serves(now)) return now;
    // What an earlier look of a running process failed at says nothing about this one.
    const bool looked = !before.running || !now.running || now.pid != before.pid || now.looks_done > before.looks_begun;
    if (now.state == "failed" && looked) {
      return fail(ErrorCode::unavailable, "the endpoint did not start: " + now.error, log_file().string(), "put that right, then run the command again");
    }
  }
  return fail(ErrorCode::unavailable, "the endpoint did not serve within two minutes", log_file().string(), "read its log, then run the command again");
}

Status EndpointProcess::reload() const {
  const EndpointStatus before = TRY(status());
  if (!before.running || before.pid <= 0) return {};
  ::kill(before.pid, SIGHUP);
  const auto deadline = std::chrono::steady_clock::now() + kStartDeadline;
  while (std::chrono::steady_clock::now() < deadline) {
    const EndpointStatus now = TRY(status());
    // A look that was under way may have read what is old by now: only one that began after the signal counts.
    if (!now.running || now.pid != before.pid || now.looks_done > before.looks_begun) return {};
    std::this_thread::sleep_for(kPollInterval);
  }
  return fail(ErrorCode::unavailable, "the endpoint did not look at the change within two minutes", std::to_string(before.pid), "it will when it can; see its log: " + log_file().string());
}

Status EndpointProcess::stop() const {
  const EndpointStatus before = TRY(status());
  if (!before.running) return {};
  ::kill(before.pid, SIGTERM);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(before.drain_s) + kStopDeadline;
  while (std::chrono::steady_clock::now() < deadline) {
    if (!TRY(status()).running) return {};
    std::this_thread::sleep_for(kPollInterval);
  }
  return fail(ErrorCode::unavailable, "the endpoint did not end within " + std::to_string(before.drain_s) + " s for the requests under way and a minute more", std::to_string(before.pid), "look at its log: " + log_file().string());
}

}  // namespace redoubt::provider::local
