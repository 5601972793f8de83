// SPDX-License-Identifier: Apache-2.0
//
// Messages with descriptors between the parent and the sandbox's own first process: one JSON object a packet of at most 128
// KiB.
#pragma once

#include <sys/types.h>

#include <span>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/json.h"

namespace redoubt::sandbox {

struct Message {
  Json body;
  std::vector<Fd> fds;
  pid_t sender = -1;  // as the kernel says, in our numbering
};

// Both ends of a SOCK_SEQPACKET connection, closed on exec; the receiver learns the sender's process.
Result<std::pair<Fd, Fd>> make_channel();
Status send_message(int channel, const Json& body, std::span<const int> fds = {});
// unavailable at the end of the connection or after `timeout_ms` (-1: none).
Result<Message> receive_message(int channel, int timeout_ms = -1);

// An error as a message and back.
Json error_message(const Error& error);
Status check_message(const Json& body);

}  // namespace redoubt::sandbox
