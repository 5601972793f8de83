// SPDX-License-Identifier: Apache-2.0
//
// A control group of our own that limits memory and processes: version 1 (also in a hybrid layout) or version 2.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"

namespace redoubt::sandbox {

struct CgroupLimits {
  std::uint64_t memory_bytes_max = 0;
  std::uint64_t processes_max = 0;
};

class Cgroup {
 public:
  // Makes a group below our own, named after the sandbox's supervisor, and removes those of supervisors that are gone;
  // unsupported when this machine or user may not.
  static Result<std::unique_ptr<Cgroup>> create(pid_t supervisor, const CgroupLimits& limits);
  ~Cgroup();  // removes the group; its processes must have ended
  Cgroup(const Cgroup&) = delete;
  Cgroup& operator=(const Cgroup&) = delete;
  Status add(pid_t process);
  bool ran_out_of_memory() const;
  int version() const { return version_; }

 private:
  Cgroup() = default;
  bool make(const std::string& folder);
  int version_ = 1;
  std::vector<std::string> folders_;  // the memory group first
};

}  // namespace redoubt::sandbox
