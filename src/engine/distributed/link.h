// SPDX-License-Identifier: Apache-2.0
//
// One connection to another rank: a socket that never blocks, under TLS wherever it could leave the machine.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "base/file.h"
#include "crypto/tls.h"

namespace redoubt::engine::distributed {

using Deadline = std::chrono::steady_clock::time_point;

class Link {
 public:
  // Without `tls` the bytes go as they are: for sockets that no other process can reach.
  Link(Fd socket, std::unique_ptr<crypto::TlsConnection> tls) : socket_(std::move(socket)), tls_(std::move(tls)) {}

  int fd() const { return socket_.get(); }
  crypto::TlsConnection* tls() const { return tls_.get(); }
  // As TlsConnection's, plain sockets alike.
  crypto::TlsIo read(MutableByteView into);
  crypto::TlsIo write(ByteView bytes);

  // Blocking until `deadline`: unavailable when the other end is too slow or goes away.
  Status handshake(Deadline deadline);
  Status send_text(std::string_view text, Deadline deadline);
  Result<std::string> receive_text(std::size_t bytes_max, Deadline deadline);
  Status send(ByteView bytes, Deadline deadline);
  // The end of a link: nothing more is sent, and what comes is dropped until the other end sends no more either.
  void close_sending();
  void drain(Deadline deadline);

 private:
  Status receive(MutableByteView into, Deadline deadline);
  Status wait(crypto::TlsOutcome outcome, Deadline deadline) const;

  Fd socket_;
  std::unique_ptr<crypto::TlsConnection> tls_;  // goes before the socket it writes to
};

// Makes a socket non-blocking and closed on exec.
Status set_non_blocking(int fd);

// Milliseconds from now to `deadline`, at least 0, for poll().
int milliseconds_to(Deadline deadline);

}  // namespace redoubt::engine::distributed
