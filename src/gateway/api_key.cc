// SPDX-License-Identifier: Apache-2.0
#include "gateway/api_key.h"

#include "crypto/hash.h"
#include "crypto/random.h"

namespace redoubt::gateway {
namespace {

constexpr std::string_view kPrefix = "rdt_";
constexpr std::size_t kIdSize = 12;
constexpr std::size_t kSecretSize = 43;  // 32 bytes in base64url
constexpr std::string_view kWhere = "API keys";

constexpr std::pair<Scope, const char*> kScopes[] = {
    {Scope::invoke, "invoke"}, {Scope::models, "models"}, {Scope::health, "health"}, {Scope::metrics, "metrics"}};

tl::unexpected<Error> denied() { return fail(ErrorCode::permission_denied, "the API key is not valid"); }

Result<std::optional<TimePoint>> optional_time(const Json& object, const char* key) {
  if (!object.contains(key)) return std::nullopt;
  const auto text = TRY(json_string(object, key, kWhere));
  return TRY(parse_rfc3339(text));
}

Json to_json(const ApiKeyInfo& info) {
  Json json = {{"id", info.id},
               {"name", info.name},
               {"created", to_rfc3339(info.created)},
               {"scopes", Json::array()},
               {"requests_per_minute", info.requests_per_minute},
               {"concurrent_requests", info.concurrent_requests}};
  for (auto scope : info.scopes) json["scopes"].push_back(to_string(scope));
  if (info.expires) json["expires"] = to_rfc3339(*info.expires);
  if (info.revoked) json["revoked"] = to_rfc3339(*info.revoked);
  return json;
}

Result<ApiKeyInfo> from_json(const Json& json) {
  ApiKeyInfo info;
  info.id = TRY(json_string(json, "id", kWhere));
  info.name = TRY(json_string(json, "name", kWhere));
  info.created = TRY(parse_rfc3339(TRY(json_string(json, "created", kWhere))));
  info.expires = TRY(optional_time(json, "expires"));
  info.revoked = TRY(optional_time(json, "revoked"));
  info.requests_per_minute = static_cast<int>(TRY(json_integer(json, "requests_per_minute", kWhere)));
  info.concurrent_requests = static_cast<int>(TRY(json_integer(json, "concurrent_requests", kWhere)));
  info.scopes.clear();
  const auto scopes = TRY(json_array(json, "scopes", kWhere));
  for (const auto& scope : scopes) {
    if (!scope.is_string()) return fail(ErrorCode::invalid_argument, "a scope is no string", std::string(kWhere));
    const auto text = scope.get<std::string>();
    info.scopes.insert(TRY(parse_scope(text)));
  }
  return info;
}

}  // namespace

const char* to_string(Scope scope) {
  for (auto [value, name] : kScopes)
    if (value == scope) return name;
  return "unknown";
}

Result<Scope> parse_scope(std::string_view text) {
  for (auto [value, name] : kScopes)
    if (text == name) return value;
  return fail(ErrorCode::invalid_argument, "unknown scope", std::string(text),
              "scopes are invoke, models, health and metrics");
}

Result<std::unique_ptr<ApiKeys>> ApiKeys::open(ApiKeyStorage storage, const Clock& clock) {
  std::unique_ptr<ApiKeys> keys(new ApiKeys(std::move(storage), clock));
  TRY(keys->reload());
  return keys;
}

Status ApiKeys::reload() {
  const auto text = TRY(storage_.load());
  auto fresh = TRY(parse(text));
  std::lock_guard lock(mutex_);
  entries_ = std::move(fresh);
  return {};
}

Result<ApiKeys::Entries> ApiKeys::parse(const std::string& text) {
  Entries entries;
  if (text.empty()) return entries;
  const auto json = TRY(parse_json(text, kWhere));
  const auto version = TRY(json_integer(json, "version", kWhere));
  if (version != 1) return fail(ErrorCode::unsupported, "the keys were written by a newer version", std::string(kWhere));
  const auto items = TRY(json_array(json, "keys", kWhere));
  for (const auto& item : items) {
    auto info = TRY(from_json(item));
    const auto hash = TRY(Digest::parse(TRY(json_string(item, "sha256", kWhere))));
    Entry entry{std::move(info), hash};
    auto id = entry.info.id;
    if (!entries.emplace(id, std::move(entry)).second) return fail(ErrorCode::invalid_argument, "a key is there twice", id);
  }
  return entries;
}

std::string ApiKeys::serialize(const Entries& entries) {
  Json json = {{"version", 1}, {"keys", Json::array()}};
  for (const auto& [id, entry] : entries) {
    auto item = to_json(entry.info);
    item["sha256"] = entry.hash.hex();
    json["keys"].push_back(std::move(item));
  }
  return dump_json(json);
}

Result<std::pair<ApiKeyInfo, Secret>> ApiKeys::create(ApiKeyInfo wanted) {
  if (wanted.name.empty() || wanted.name.size() > 128 || wanted.scopes.empty() || wanted.requests_per_minute < 1 ||
      wanted.concurrent_requests < 1)
    return fail(ErrorCode::invalid_argument, "a key needs a name of at most 128 bytes, a scope, and limits above 0",
                wanted.name);
  wanted.id = to_hex(crypto::random_bytes(kIdSize / 2));
  wanted.created = clock_.now();
  wanted.revoked.reset();
  auto text = std::string(kPrefix) + wanted.id + "_" + to_base64url(crypto::random_bytes(32));
  Secret key(text);
  wipe_memory({reinterpret_cast<std::uint8_t*>(text.data()), text.size()});
  std::lock_guard lock(mutex_);
  auto next = entries_;
  if (!next.emplace(wanted.id, Entry{wanted, crypto::sha256(key.reveal(SecretAccess::for_crypto()))}).second)
    return fail(ErrorCode::already_exists, "the random id is taken", wanted.id, "try again");
  TRY(storage_.save(serialize(next)));
  entries_ = std::move(next);
  return std::pair{std::move(wanted), std::move(key)};
}

Status ApiKeys::revoke(std::string_view id) {
  std::lock_guard lock(mutex_);
  auto next = entries_;
  auto found = next.find(id);
  if (found == next.end()) return fail(ErrorCode::not_found, "no such key", std::string(id));
  if (found->second.info.revoked) return {};
  found->second.info.revoked = clock_.now();
  TRY(storage_.save(serialize(next)));
  entries_ = std::move(next);
  return {};
}

std::vector<ApiKeyInfo> ApiKeys::list() const {
  std::lock_guard lock(mutex_);
  std::vector<ApiKeyInfo> all;
  for (const auto& [id, entry] : entries_) all.push_back(entry.info);
  return all;
}

Result<ApiKeyInfo> ApiKeys::authenticate(std::string_view key) const {
  if (key.size() != kPrefix.size() + kIdSize + 1 + kSecretSize || !key.starts_with(kPrefix)) return denied();
  auto hash = crypto::sha256(key);
  std::lock_guard lock(mutex_);
  auto found = entries_.find(key.substr(kPrefix.size(), kIdSize));
  // An unknown id is compared too, so that the time does not tell which ids exist.
  const Digest nobody{};
  const auto& expected = found == entries_.end() ? nobody : found->second.hash;
  bool equal = equal_constant_time(hash.bytes(), expected.bytes());
  if (!equal || found == entries_.end()) return denied();
  const auto& info = found->second.info;
  if (info.revoked || (info.expires && clock_.now() >= *info.expires)) return denied();
  return info;
}

}  // namespace redoubt::gateway
