// SPDX-License-Identifier: Apache-2.0
//
// How a training process gets its group: ranks that it starts itself on this machine, or ranks that a launcher started, here
// or elsewhere (docs/distributed.md).
#pragma once

#include "engine/distributed/group.h"
#include "engine/distributed/place.h"
#include "engine/job/job.h"

namespace redoubt::engine::distributed {

enum class Transport { tls, loopback };

struct JoinOptions {
  std::size_t local_ranks = 1;  // "ranks": processes that this one starts beside itself
  Transport transport = Transport::tls;       // "distributed_transport"
  std::chrono::seconds timeout{600};          // "distributed_timeout_s": for every answer, and to join, there at least 2 min
};
// The names that read_join_options reads.
const std::vector<std::string>& join_option_names();
Result<JoinOptions> read_join_options(const job::Hyperparameters& values);

struct Membership {
  Group group;
  bool is_child = false;  // of the process that the job was started as: it leaves the job's files to that one
};

// With local ranks, this process forks: call it before the first thread. Otherwise as the environment and
// ROOT/input/config/resourceconfig.json say; ranks on several machines read the channel `certificates`: ca.pem, and
// rank-N.pem with rank-N-key.pem, or rank.pem with rank-key.pem for all.
Result<Membership> join(const job::Paths& paths, const JoinOptions& options, const Variable& variable);

// Ranks over socket pairs, which no other process can reach: for local ranks, and for tests in threads. By rank.
Result<std::vector<std::vector<Peer>>> connect_pairs(std::size_t ranks);

}  // namespace redoubt::engine::distributed
