// SPDX-License-Identifier: Apache-2.0
//
// API keys: "rdt_<id>_<secret>" with 256 random bits, shown once and stored as a SHA-256 (a hash without salt or stretching
// is enough for 256 random bits). Looked up by the id, compared in constant time.
#pragma once

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

struct ApiKeyInfo {
  std::string id;    // 12 hexadecimal digits: what logs, limits and `key revoke` name it by
  std::string name;  // for people
  std::set<Scope> scopes = {Scope::invoke, Scope::models, Scope::health};
  int requests_per_minute = 600;
  int concurrent_requests = 32;
  TimePoint created{};
  std::optional<TimePoint> expires;
  std::optional<TimePoint> revoked;
};

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
  // not_found for an unknown id; to revoke twice is no error.
  Status revoke(std::string_view id);
  std::vector<ApiKeyInfo> list() const;
  // Reads the stored keys again, for a gateway whose keys another process changed.
  Status reload();

  // Who sent this key. permission_denied for anything else; the error does not tell a wrong key from an expired one.
  Result<ApiKeyInfo> authenticate(std::string_view key) const;

 private:
  struct Entry {
    ApiKeyInfo info;
    Digest hash;
  };
  using Entries = std::map<std::string, Entry, std::less<>>;
  ApiKeys(ApiKeyStorage storage, const Clock& clock) : storage_(std::move(storage)), clock_(clock) {}
  static Result<Entries> parse(const std::string& text);
  static std::string serialize(const Entries& entries);

  const ApiKeyStorage storage_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  Entries entries_;
};

}  // namespace redoubt::gateway
