// SPDX-License-Identifier: Apache-2.0
#include "sandbox/cgroup.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <sstream>

#include "base/file.h"

namespace redoubt::sandbox {
namespace {

constexpr std::string_view kPrefix = "redoubt-";

// Control files can't be replaced by rename as write_file does, only written to.
bool write_control(const std::string& path, const std::string& value) {
  const Fd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  return file && ::write(file.get(), value.data(), value.size()) == static_cast<ssize_t>(value.size());
}

// Our path in the hierarchy of a version 1 controller ("memory"), or of version 2 (""); empty when there is none.
std::string own_path(const std::string& controller) {
  const auto text = read_text_file("/proc/self/cgroup", 1 << 16);
  if (!text) return "";
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == line.npos) continue;
    if (line.substr(first + 1, second - first - 1) == controller) return line.substr(second + 1);
  }
  return "";
}

std::string joined(const std::string& mount, const std::string& path, const std::string& name) {
  return mount + (path == "/" ? "" : path) + "/" + name;
}

// Groups of supervisors that are gone: a parent that was killed could not remove its own. A populated group can't be
// removed, and one whose supervisor lives is left alone.
void remove_stale(const std::string& parent) {
  const auto names = list_folder(parent);
  if (!names) return;
  for (const std::string& name : *names) {
    if (!name.starts_with(kPrefix)) continue;
    const std::string number = name.substr(kPrefix.size());
    if (number.empty() || number.size() > 9 || number.find_first_not_of("0123456789") != number.npos) continue;
    if (kill(std::stoi(number), 0) != 0 && errno == ESRCH) rmdir((parent + "/" + name).c_str());
  }
}

}  // namespace

bool Cgroup::make(const std::string& folder) {
  remove_stale(folder.substr(0, folder.rfind('/')));
  rmdir(folder.c_str());  // of an earlier process that had our supervisor's number
  if (mkdir(folder.c_str(), 0755) != 0) return false;
  folders_.push_back(folder);
  return true;
}

Result<std::unique_ptr<Cgroup>> Cgroup::create(pid_t supervisor, const CgroupLimits& limits) {
  const std::string name = std::string(kPrefix) + std::to_string(supervisor);
  std::unique_ptr<Cgroup> group(new Cgroup());
  const std::string memory = std::to_string(limits.memory_bytes_max), processes = std::to_string(limits.processes_max);
  if (const std::string path = own_path("memory"); !path.empty()) {
    const std::string folder = joined("/sys/fs/cgroup/memory", path, name);
    if (group->make(folder) && write_control(folder + "/memory.limit_in_bytes", memory)) {
      const std::string pids = own_path("pids"), pids_folder = joined("/sys/fs/cgroup/pids", pids, name);
      if (!pids.empty() && group->make(pids_folder)) write_control(pids_folder + "/pids.max", processes);
      return group;
    }
  } else if (const std::string unified = own_path(""); !unified.empty()) {
    const std::string folder = joined("/sys/fs/cgroup", unified, name);
    if (group->make(folder) && write_control(folder + "/memory.max", memory)) {
      group->version_ = 2;
      write_control(folder + "/memory.swap.max", "0");
      write_control(folder + "/pids.max", processes);
      return group;
    }
  }
  return fail(ErrorCode::unsupported, "no control group to limit memory with", "/sys/fs/cgroup",
              "run as root, or as a service with Delegate=yes");
}

Cgroup::~Cgroup() {
  for (const std::string& folder : folders_) rmdir(folder.c_str());
}

Status Cgroup::add(pid_t process) {
  for (const std::string& folder : folders_) {
    if (!write_control(folder + "/cgroup.procs", std::to_string(process))) {
      return fail(ErrorCode::unsupported, "can't move a process into its control group", folder);
    }
  }
  return {};
}

bool Cgroup::ran_out_of_memory() const {
  const auto text = read_text_file(folders_.front() + (version_ == 2 ? "/memory.events" : "/memory.oom_control"), 1 << 16);
  if (!text) return false;
  std::istringstream words(*text);
  for (std::string word; words >> word;) {
    if (word == "oom_kill") return (words >> word) && word != "0";
  }
  return false;
}

}  // namespace redoubt::sandbox
