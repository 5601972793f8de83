// SPDX-License-Identifier: Apache-2.0
//
// TCP sockets for ranks that call each other.
#pragma once

#include <string>

#include "engine/distributed/link.h"

namespace redoubt::engine::distributed {

enum class Reach { loopback_only, everywhere };

struct Listener {
  Fd socket;
  std::uint16_t port = 0;
};
// On `port`, or any free one for 0.
Result<Listener> listen_on(std::uint16_t port, Reach reach);

struct Caller {
  Fd socket;
  std::string address;  // numeric
};
// unavailable when nobody calls before `deadline`.
Result<Caller> accept_from(const Listener& listener, Deadline deadline);

// Tries until `deadline`: the other end may not listen yet.
Result<Fd> call(const std::string& host, std::uint16_t port, Deadline deadline);

// Whether every address of the name is one of this machine alone.
bool is_loopback(const std::string& host);

}  // namespace redoubt::engine::distributed
