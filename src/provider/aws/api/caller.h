// SPDX-License-Identifier: Apache-2.0
//
// One request of any service on its way: signed, sent, judged, and sent again where that is safe.
#pragma once

#include <atomic>
#include <functional>

#include "http/keep_alive_client.h"
#include "provider/aws/api/client.h"
#include "provider/aws/api/credentials.h"
#include "provider/aws/api/endpoints.h"
#include "provider/aws/api/errors.h"
#include "provider/aws/api/retry.h"

namespace redoubt::provider::aws {

// A request before it is signed.
struct Outgoing {
  const Service* service = nullptr;
  std::string operation;
  Endpoint endpoint;
  std::string method = "POST";
  std::string path = "/";  // percent-encoded
  Query query = {};
  http::Headers headers = {};
  const std::string* body = nullptr;
  const RandomAccess* upload = nullptr;
  std::uint64_t upload_offset = 0, upload_bytes = 0;
  std::string payload_hash = {};
  std::uint64_t bytes_max = 32 << 20;
  bool repeatable = false;  // may be sent again though the service may have got it
  bool is_signed = true;
  std::function<void()> forget_body = {};  // empties the answer's sink, so that one that broke off is taken anew; none where it can't be

  std::string subject() const { return std::string(service->name) + "." + operation; }
};

class Caller {
 public:
  Caller(const http::KeepAliveClient& http, const Clock& clock, RetryOptions retry) : http_(http), clock_(clock), retry_(retry) {}

  // The body of a success goes to `body`; once it has got a byte, nothing is tried again but where it can be emptied. `credentials` is null for a request
  // that is not signed.
  Result<http::ClientResponse> send(const Outgoing& request, CredentialCache* credentials, Sink& body);

  TimePoint now() const { return clock_.now() + std::chrono::milliseconds(skew_ms_.load()); }

 private:
  friend class Attempts;
  const http::KeepAliveClient& http_;
  const Clock& clock_;
  RetryPolicy retry_;
  std::atomic<std::int64_t> skew_ms_{0};  // the service's clock less ours
};

}  // namespace redoubt::provider::aws
