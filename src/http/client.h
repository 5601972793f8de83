// SPDX-License-Identifier: Apache-2.0
//
// An HTTPS client over libcurl. Certificates are always checked; a redirect is followed by our own code, only over HTTPS and
// only to hosts that are allowed, and the token goes to the first origin alone. Everything has a deadline and a size limit,
// and no error names a token or a URL's query (which may hold one).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/secret.h"
#include "base/stream.h"
#include "http/message.h"

namespace redoubt::http {

enum class Redirects {
  to_allowed_hosts,
  to_any_host,  // over HTTPS still, without credentials: for who proves by a digest what comes
};

struct ClientOptions {
  std::string ca_file = {};                // PEM, then these authorities alone; empty: the system's
  std::vector<std::string> allowed_hosts = {};  // beside the host of the first URL; "*.example.com": all below it
  bool allow_plain_loopback = false;       // http:// to 127.0.0.1, [::1] and localhost, for a webhook on this machine
  int connect_s_max = 15;
  int stalled_s_max = 60;                  // without a byte a second
  int total_s_max = 24 * 3600;             // of one exchange
  int redirects_max = 5;
  int backoff_ms = 400;                    // before the second attempt; doubled before each further one
  Redirects redirects = Redirects::to_allowed_hosts;
};

struct ClientRequest {
  std::string method = "GET";
  std::string url;
  Headers headers;
  std::string body;                     // sent with POST and PUT
  Source* upload = nullptr;             // sent instead of `body`, `upload_bytes` long; it is read once, so nothing is tried again
  std::uint64_t upload_bytes = 0;
  std::optional<Secret> bearer;         // Authorization: Bearer ...
  std::optional<Secret> basic;          // Authorization: Basic ..., "user:password"; goes where the bearer goes
  std::vector<int> expected_statuses;   // from 400 on: answers like a success, without a body
  std::uint64_t offset = 0, length = 0;  // a byte range when length > 0
  std::uint64_t bytes_max = 16 << 20;   // of the answer's body
  int attempts_max = 3;                 // in a row that fail as unavailable and bring no byte; a POST has one
};

struct ClientResponse {
  int status = 0;
  Headers headers;  // names in lower case
};

class Client {
 public:
  explicit Client(ClientOptions options) : options_(std::move(options)) {}

  // Success is a status below 400. 401 and 403 are permission_denied, 404 and 410 not_found, 408, 429 and 5xx and whatever
  // the network does unavailable, a larger answer than allowed limit_exceeded, a redirect that is not allowed gate_refused,
  // another range than was asked for unsupported. `body` gets the bytes of a success alone.
  //
  // A GET that breaks off within its body goes on at the next byte if it can be the same object: a range was asked for, or
  // the server gave a strong ETag. Who asks for a range compares a digest in the end.
  Result<ClientResponse> send(const ClientRequest& request, Sink& body) const;
  // With a small body as text.
  Result<std::pair<ClientResponse, std::string>> fetch(const ClientRequest& request) const;

 private:
  ClientOptions options_;
};

// Scheme, lower-case host and port of an absolute URL; invalid_argument for another scheme than http and https, user info or
// a missing host.
struct UrlParts {
  std::string scheme, host, target;
  int port = 0;
};
Result<UrlParts> parse_url(const std::string& url);
// Whether what goes there is encrypted, or never leaves this machine.
bool is_safe_way(const UrlParts& url);
// The URL as errors and logs may show it: no query, no fragment.
std::string without_query(const std::string& url);

}  // namespace redoubt::http
