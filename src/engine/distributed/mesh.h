// SPDX-License-Identifier: Apache-2.0
//
// How ranks on several machines find each other: all call rank 0, which tells each where the others listen; then every two
// of them connect. All links are mutual TLS 1.3: each end proves a certificate of the job's CA that carries the name
// "rank-N.job.internal" of the rank it speaks for ("*.job.internal" speaks for any). docs/formats/rank-protocol.md.
#pragma once

#include "engine/distributed/group.h"
#include "engine/distributed/place.h"

namespace redoubt::engine::distributed {

// The name that a rank's certificate has to carry.
std::string certificate_name(std::size_t rank);

struct MeshOptions {
  // None: plain bytes, which only ranks that meet at a loopback address may use.
  std::shared_ptr<const crypto::TlsPeerContext> tls = {};
  std::chrono::milliseconds join_max{600'000};    // until all are there
  std::chrono::milliseconds answer_max{600'000};  // Group's
};

// Blocks until all ranks are connected. unavailable where one does not come in time, with the reason of the last caller that
// was turned away; permission_denied where this rank is turned away; invalid_argument for plain bytes to another machine.
Result<Group> join_mesh(const Place& place, const MeshOptions& options);

}  // namespace redoubt::engine::distributed
