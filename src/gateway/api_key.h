// SPDX-License-Identifier: Apache-2.0
//
// API keys: "rdt_<id>_<secret>" with 256 random bits, shown once and stored as a SHA-256 (a hash without salt or stretching
// is enough for 256 random bits). Looked up by the id, compared in constant time. An AWS key pair is the exception: its secret is
// the key of an HMAC, so it is kept, sealed by whoever stores the keys.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/json.h"
#include "base/secret.h"

namespace redoubt::gateway {

enum class Scope { invoke, models, health, metrics };
const char* to_string(Scope scope);
Result<Scope> parse_scope(std::string_view text);
class Scopes;
Json to_json(const Scopes& scopes);  // their names

// A set of them.
class Scopes {
 public:
  Scopes() = default;
  Scopes(std::initializer_list<Scope> scopes) {
    for (const auto scope : scopes) insert(scope);
  }
  void insert(Scope scope) { bits_ |= bit_of(scope); }
  void erase(Scope scope) { bits_ &= ~bit_of(scope); }
  void clear() { bits_ = 0; }
  bool contains(Scope scope) const { return (bits_ & bit_of(scope)) != 0; }
  bool empty() const { return bits_ == 0; }
  bool operator==(const Scopes&) const = default;

 private:
  static unsigned bit_of(Scope scope) { return 1u << static_cast<unsigned>(scope); }
  unsigned bits_ = 0;
};

// How much may be used; 0 is no limit. Money is in millionths of the currency in which the models' prices are.
struct UseLimits {
  std::int64_t requests_per_minute = 0, requests_per_day = 0;
  std::int64_t tokens_per_minute = 0, tokens_per_day = 0;  // of prompts and answers together
  std::int64_t money_per_day = 0, money_per_month = 0;     // days and months of UTC
  std::int64_t prompt_tokens_max = 0, answer_tokens_max = 0;  // of one request
  bool operator==(const UseLimits&) const = default;
};
Json to_json(const UseLimits& limits);
// Unknown members and what is no whole number from 0 on are invalid_argument.
Result<UseLimits> use_limits_of(const Json& json, std::string_view where);

// Who asks and what it may do, whichever way it proved itself.
struct ApiKeyInfo {
  std::string id;    // 12 hexadecimal digits: what logs, limits and `key revoke` name it by
  std::string name;  // for people
  Scopes scopes = {Scope::invoke, Scope::models, Scope::health};
  int requests_per_minute = 600;  // 0: the endpoint's own number
  int concurrent_requests = 32;
  TimePoint created{};
  std::optional<TimePoint> expires;
  std::optional<TimePoint> revoked;
  std::string tenant = {};            // whose limits it shares; empty: it is its own
  std::set<std::string> models = {};  // that it may ask and see, by name; empty: all
  UseLimits limits = {};              // beside requests_per_minute
  bool is_aws = false;                // an access key pair that signs requests
  std::string replaces = {};          // the key that it was rotated from
  std::string first = {};             // the first of those it was rotated from, one after another; empty: none

  bool may_use(const std::string& model) const { return models.empty() || models.contains(model); }
  // Whose use is counted: a key and those that took its place have their limits together.
  const std::string& account() const { return first.empty() ? id : first; }
  const std::string& payer() const { return tenant.empty() ? account() : tenant; }
};

// What a signed request names an AWS key pair by.
std::string access_key_id_of(const ApiKeyInfo& info);

// Where the keys' JSON is kept, sealed by whoever provides these. `load` answers an empty text before the first save.
struct ApiKeyStorage {
  std::function<Result<std::string>()> load;
  std::function<Status(const std::string& json)> save;
};

// Safe to use from several threads.
class ApiKeys {
 public:
  static Result<std::unique_ptr<ApiKeys>> open(ApiKeyStorage storage, const Clock& clock);

  // A new key (id and created are filled in) and its text, which is never to be had again. Durable when it returns.
  Result<std::pair<ApiKeyInfo, Secret>> create(ApiKeyInfo wanted);
  // A new key in the place of an old one, which works on for `overlap` and then ends. What one used counts for both.
  Result<std::pair<ApiKeyInfo, Secret>> rotate(std::string_view id, std::chrono::milliseconds overlap);
  // not_found for an unknown id; to revoke twice is no error.
  Status revoke(std::string_view id);
  std::vector<ApiKeyInfo> list() const;
  // Reads the stored keys again, for a gateway whose keys another process changed.
  Status reload();

  // Who sent this key. permission_denied for anything else; the error does not tell a wrong key from an expired one.
  Result<ApiKeyInfo> authenticate(std::string_view key) const;
  // Calls `fits` with the secret of a key pair, and answers who it is if that was right. An unknown pair is tried with a secret that
  // nobody has, so that the time does not tell which ids exist.
  Result<ApiKeyInfo> authenticate_aws(std::string_view access_key_id, const std::function<bool(const Secret&)>& fits) const;

 private:
  struct Entry {
    ApiKeyInfo info;
    Digest hash;        // of an API key
    Secret aws_secret;  // of a key pair
  };
  using Entries = std::map<std::string, Entry, std::less<>>;
  ApiKeys(ApiKeyStorage storage, const Clock& clock) : storage_(std::move(storage)), clock_(clock) {}
  Result<std::pair<ApiKeyInfo, Secret>> add(ApiKeyInfo wanted, Entries& entries);
  bool is_valid(const ApiKeyInfo& info) const;
  static std::string first_of(const Entries& entries, const ApiKeyInfo& info);
  static Result<Entries> parse(const std::string& text);
  static std::string serialize(const Entries& entries);

  const ApiKeyStorage storage_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  Entries entries_;
};

}  // namespace redoubt::gateway
