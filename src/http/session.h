// SPDX-License-Identifier: Apache-2.0
//
// What a connection speaks once its handshake is done: HTTP/1.1 or HTTP/2. Both read a request whole, hand it to the same handler
// and take its answer from an Exchange. Runs on the server's thread only.
#pragma once

#include "http/transport.h"

namespace redoubt::http::detail {

// The other end, as each of its requests names it.
struct Peer {
  std::string address;
  std::shared_ptr<const ClientCertificate> certificate;
};

class Session {
 public:
  // `again`: more can be done at once; `wait`: an event has to come; `linger`: all is said, close once the client has read it;
  // `cut`: close at once.
  enum class Next { again, wait, linger, cut };

  // Tells those who still answer that the client is gone.
  virtual ~Session() = default;
  // One bounded piece of work.
  virtual Next step() = 0;
  // From time to time, whatever happens: drops what is late.
  virtual Next on_tick() = 0;
  // Finishes what is under way, and no more.
  virtual Next drain() = 0;
  // Whether bytes of the client are of use now; if not, a client that shuts its side is gone.
  virtual bool wants_input() const = 0;
  // Whether the client waits for nothing, so that it may be told goodbye.
  virtual bool is_quiet() const = 0;
  // Whether the handler let a request of the client pass. Until then it is a stranger, who waits where there is not room for all.
  bool is_known() const { return is_known_; }

 protected:
  bool is_known_ = false;
};

constexpr int kDrainIdleMs = 300;  // while a server drains, a request that is on its way has so long to come
constexpr std::size_t kSourceBytes = 256 << 10;       // read of a source at once
constexpr std::uint64_t kDiscardBytesMax = 64 << 10;  // a refused body up to this is read off to keep the connection

inline bool has_no_body(int status) { return status == 204 || status == 304 || status < 200; }

}  // namespace redoubt::http::detail
