// SPDX-License-Identifier: Apache-2.0
//
// Single exchanges over connections that stay open, for callers that judge each answer themselves: no redirect is followed,
// nothing is tried again, any status is an answer, and an error's body can be read.
#pragma once

#include <atomic>

#include "http/client.h"

namespace redoubt::http {

namespace detail {
class HandlePool;
}

struct ExchangeRequest {
  std::string method = "GET";
  std::string url;                      // percent-encoded; sent as it stands
  Headers headers = {};
  const std::string* body = nullptr;
  Source* upload = nullptr;             // sent instead of `body`, `upload_bytes` long
  std::uint64_t upload_bytes = 0;
  std::uint64_t bytes_max = 16 << 20;   // of a success's body
  int total_s_max = 24 * 3600;
  int connect_s_max = 0;                // 0: the client's
  bool allow_plain = false;             // http:// too: the caller knows that this address is on this machine or its link
  bool direct = false;                  // past any proxy
  bool once = false;                    // never sent again by itself where a kept connection turns out to be closed: it gets a new one
};

// What an exchange came to. Where there is no response, `failure` says why, and `reached` whether the server may have got it.
struct ExchangeOutcome {
  std::optional<ClientResponse> response = {};
  std::string error_body = {};  // at most 64 KiB of the body of a status that is no success
  std::optional<Error> failure = {};
  bool reached = false;
};

// Safe to use from several threads: each exchange has a connection of its own while it runs.
class KeepAliveClient {
 public:
  explicit KeepAliveClient(ClientOptions options);
  ~KeepAliveClient();

  // `body` gets the bytes of a success (2xx). invalid_argument for a header with control characters, gate_refused for plain
  // HTTP that is not allowed.
  ExchangeOutcome exchange(const ExchangeRequest& request, Sink& body) const;
  // From now on every exchange fails at once as unavailable, and those that are under way are broken off within a second or two.
  void give_up() { given_up_ = true; }
  bool has_given_up() const { return given_up_; }

 private:
  ClientOptions options_;
  std::unique_ptr<detail::HandlePool> pool_;
  std::atomic<bool> given_up_{false};
};

}  // namespace redoubt::http
