// SPDX-License-Identifier: Apache-2.0
//
// Which rank a process is, and where the first one is to be met: the variables that torchrun, Kubernetes operators and Slurm
// scripts set, or SageMaker's list of hosts.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "base/result.h"

namespace redoubt::engine::distributed {

constexpr std::uint16_t kDefaultPort = 29500;  // torchrun's

struct Place {
  std::size_t rank = 0, ranks = 1;
  std::string master_host = {};
  std::uint16_t master_port = kDefaultPort;
  std::string host = {};  // this one's name, for people
};

using Variable = std::function<const char*(const char*)>;  // as getenv

// MASTER_ADDR, MASTER_PORT (under torchrun, whose agents have that one, one beside it), RANK and WORLD_SIZE if any of RANK and WORLD_SIZE is set; else the file's `hosts` and
// `current_host`, where the lowest name is rank 0 and MASTER_PORT may be given; else one process alone. Half a set of variables, a rank outside the job
// or a host outside the list is invalid_argument.
Result<Place> read_place(const Variable& variable, const std::filesystem::path& resource_config);

}  // namespace redoubt::engine::distributed
