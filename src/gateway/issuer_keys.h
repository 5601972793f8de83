// SPDX-License-Identifier: Apache-2.0
//
// The keys of an OpenID Connect issuer: found where its own document says (OpenID Connect Discovery 1.0, section 4) or at a URL that was
// configured, and fetched again by a thread of its own, so that nobody who checks a token waits for the network. It asks the issuer's host
// and those that the configuration names, over HTTPS, and follows no redirect. What can't be had leaves the keys before in place.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/result.h"
#include "gateway/token.h"

namespace redoubt::gateway {

struct KeySource {
  std::string issuer;                       // whose document is read, where `key_set_url` is empty
  std::string key_set_url = {};
  std::vector<std::string> key_set_hosts = {};  // that the document may name beside the issuer's own; "*.example.com": all below it
  std::string ca_file = {};                 // whose certificate the hosts have; empty: the system's authorities
};

struct KeyTiming {
  std::chrono::milliseconds age{300'000};  // of keys whose answer has no max-age
  std::chrono::milliseconds age_min{60'000}, age_max{3'600'000};
  std::chrono::milliseconds retry_min{5'000}, retry_max{300'000};  // after a failure, doubled after each further one
  std::chrono::milliseconds asked_min{30'000};  // between two fetches where tokens name keys that are missing
};

// An issuer whose document can be found: https, without query and fragment. invalid_argument otherwise.
Status check_issuer(const std::string& issuer);
// Where it is (section 4.1).
std::string configuration_url(const std::string& issuer);
// The document's `jwks_uri`. gate_refused where the document is of another issuer (section 4.3), or names a place that is neither the
// issuer's host nor one of `key_set_hosts`; invalid_argument for what is no such document.
Result<std::string> key_set_url_of(std::string_view document, const KeySource& source);
// Of a Cache-Control header (RFC 9111, section 5.2.2): nothing where it says nothing.
std::optional<std::chrono::seconds> max_age_of(std::string_view cache_control);

class IssuerKeys {
 public:
  struct Fetched {
    std::string body, cache_control;
  };
  using Fetch = std::function<Result<Fetched>(const std::string& url)>;
  // How a fetch went, and how many keys there are now; called on the thread of this.
  using Heard = std::function<void(const Status& fetched, std::size_t keys)>;

  // Begins to fetch. `tokens` outlives this, and is asked by nobody as yet.
  IssuerKeys(KeySource source, TokenIssuer& tokens, Fetch fetch, Heard heard, KeyTiming timing = {});
  ~IssuerKeys();
  // Waits until the first fetch is done, however it went; false when the time is over.
  bool wait_first(std::chrono::milliseconds time_max);

 private:
  using Steady = std::chrono::steady_clock;
  bool ask();
  bool is_stopping();
  void run();
  Result<std::chrono::milliseconds> refresh();

  const KeySource source_;
  TokenIssuer& tokens_;
  const Fetch fetch_;
  const Heard heard_;
  const KeyTiming timing_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false, asked_ = false, fetching_ = true, is_first_done_ = false;
  Steady::time_point begun_{};  // the last fetch
  std::thread thread_;
};

// Over HTTPS: 1 MiB at most and 10 s.
IssuerKeys::Fetch fetch_over_https(const std::string& ca_file);

}  // namespace redoubt::gateway
