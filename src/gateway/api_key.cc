// SPDX-License-Identifier: Apache-2.0
#include "gateway/api_key.h"

#include <algorithm>

#include "crypto/hash.h"
#include "crypto/random.h"

namespace redoubt::gateway {
namespace {

constexpr std::string_view kPrefix = "rdt_";
constexpr std::size_t kIdSize = 12;
constexpr std::size_t kSecretSize = 43;  // 32 bytes in base64url
constexpr std::string_view kKeysWhere = "API keys";

constexpr std::pair<Scope, const char*> kScopes[] = {
    {Scope::invoke, "invoke"}, {Scope::models, "models"}, {Scope::health, "health"}, {Scope::metrics, "metrics"}};

tl::unexpected<Error> denied_key() { return fail(ErrorCode::permission_denied, "the API key is not valid"); }

Result<std::optional<TimePoint>> optional_time(const Json& object, const char* key) {
  if (!object.contains(key)) return std::nullopt;
  const auto text = TRY(json_string(object, key, kKeysWhere));
  return TRY(parse_rfc3339(text));
}

Json to_json(const ApiKeyInfo& info) {
  Json json = {{"id", info.id},
               {"name", info.name},
               {"created", to_rfc3339(info.created)},
               {"scopes", to_json(info.scopes)},
               {"requests_per_minute", info.requests_per_minute},
               {"concurrent_requests", info.concurrent_requests}};
  if (info.expires) json["expires"] = to_rfc3339(*info.expires);
  if (info.revoked) json["revoked"] = to_rfc3339(*info.revoked);
  if (!info.tenant.empty()) json["tenant"] = info.tenant;
  if (!info.models.empty()) json["models"] = info.models;
  if (info.limits != UseLimits{}) json["limits"] = to_json(info.limits);
  if (info.is_aws) json["aws"] = true;
  if (!info.replaces.empty()) json["replaces"] = info.replaces;
  return json;
}

Result<ApiKeyInfo> from_json(const Json& json) {
  ApiKeyInfo info;
  info.id = TRY(json_string(json, "id", kKeysWhere));
  info.name = TRY(json_string(json, "name", kKeysWhere));
  info.created = TRY(parse_rfc3339(TRY(json_string(json, "created", kKeysWhere))));
  info.expires = TRY(optional_time(json, "expires"));
  info.revoked = TRY(optional_time(json, "revoked"));
  info.requests_per_minute = static_cast<int>(TRY(json_integer(json, "requests_per_minute", kKeysWhere)));
  info.concurrent_requests = static_cast<int>(TRY(json_integer(json, "concurrent_requests", kKeysWhere)));
  info.tenant = json_or(json, "tenant", "");
  for (const auto& model : json_or(json, "models", Json::array()))
    if (model.is_string()) info.models.insert(model.get<std::string>());
  if (json.contains("limits")) info.limits = TRY(use_limits_of(json["limits"], kKeysWhere));
  info.is_aws = json_or(json, "aws", false);
  info.replaces = json_or(json, "replaces", "");
  info.scopes.clear();
  const auto scopes = TRY(json_array(json, "scopes", kKeysWhere));
  for (const auto& scope : scopes) {
    if (!scope.is_string()) return fail(ErrorCode::invalid_argument, "a scope is no string", std::string(kKeysWhere));
    const auto text = scope.get<std::string>();
    info.scopes.insert(TRY(parse_scope(text)));
  }
  return info;
}

constexpr std::pair<const char*, std::int64_t UseLimits::*> kUseLimits[] = {
    {"requests_per_minute", &UseLimits::requests_per_minute}, {"requests_per_day", &UseLimits::requests_per_day},
    {"tokens_per_minute", &UseLimits::tokens_per_minute},     {"tokens_per_day", &UseLimits::tokens_per_day},
    {"money_per_day", &UseLimits::money_per_day},             {"money_per_month", &UseLimits::money_per_month},
    {"prompt_tokens_max", &UseLimits::prompt_tokens_max},     {"answer_tokens_max", &UseLimits::answer_tokens_max}};

constexpr std::string_view kAwsPrefix = "RDTK";

}  // namespace

Json to_json(const UseLimits& limits) {
  Json json = Json::object();
  for (const auto& [name, member] : kUseLimits)
    if (limits.*member != 0) json[name] = limits.*member;
  return json;
}

Result<UseLimits> use_limits_of(const Json& json, std::string_view where) {
  UseLimits limits;
  if (!json.is_object()) return fail(ErrorCode::invalid_argument, "limits must be an object", std::string(where));
  for (const auto& [key, value] : json.items()) {
    const auto known = std::find_if(std::begin(kUseLimits), std::end(kUseLimits), [name = key](const auto& entry) { return name == entry.first; });
    if (known == std::end(kUseLimits)) return fail(ErrorCode::invalid_argument, "unknown limit: " + key, std::string(where));
    limits.*known->second = TRY(json_integer(json, key.c_str(), where));
    if (limits.*known->second < 0) return fail(ErrorCode::invalid_argument, "a limit is below 0: " + key, std::string(where), "0 is no limit");
  }
  return limits;
}

std::string access_key_id_of(const ApiKeyInfo& info) {
  auto text = std::string(kAwsPrefix) + info.id;
  std::transform(text.begin(), text.end(), text.begin(), [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; });
  return text;
}

Json to_json(const Scopes& scopes) {
  Json names = Json::array();
  for (const auto& [scope, name] : kScopes)
    if (scopes.contains(scope)) names.push_back(name);
  return names;
}

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

// Of the keys that one was rotated from, one after another; "" of one that was made new.
std::string ApiKeys::first_of(const Entries& entries, const ApiKeyInfo& info) {
  std::string first;
  std::size_t steps = 0;
  for (const auto* at = &info; !at->replaces.empty() && steps < entries.size(); ++steps) {
    first = at->replaces;
    const auto before = entries.find(first);
    if (before == entries.end()) break;
    at = &before->second.info;
  }
  return first;
}

Result<ApiKeys::Entries> ApiKeys::parse(const std::string& text) {
  Entries entries;
  if (text.empty()) return entries;
  const auto json = TRY(parse_json(text, kKeysWhere));
  const auto version = TRY(json_integer(json, "version", kKeysWhere));
  if (version != 1) return fail(ErrorCode::unsupported, "the keys were written by a newer version", std::string(kKeysWhere));
  const auto items = TRY(json_array(json, "keys", kKeysWhere));
  for (const auto& item : items) {
    auto info = TRY(from_json(item));
    Entry entry;
    if (info.is_aws) {
      entry.aws_secret = Secret(TRY(json_string(item, "aws_secret", kKeysWhere)));
    } else {
      entry.hash = TRY(Digest::parse(TRY(json_string(item, "sha256", kKeysWhere))));
    }
    entry.info = std::move(info);
    auto id = entry.info.id;
    if (!entries.emplace(id, std::move(entry)).second) return fail(ErrorCode::invalid_argument, "a key is there twice", id);
  }
  for (auto& [id, entry] : entries) entry.info.first = first_of(entries, entry.info);
  return entries;
}

std::string ApiKeys::serialize(const Entries& entries) {
  Json json = {{"version", 1}, {"keys", Json::array()}};
  for (const auto& [id, entry] : entries) {
    auto item = to_json(entry.info);
    if (entry.info.is_aws) {
      item["aws_secret"] = text_of(entry.aws_secret.reveal(SecretAccess::for_storage()));
    } else {
      item["sha256"] = entry.hash.hex();
    }
    json["keys"].push_back(std::move(item));
  }
  return dump_json(json);
}

Result<std::pair<ApiKeyInfo, Secret>> ApiKeys::add(ApiKeyInfo wanted, Entries& entries) {
  wanted.id = to_hex(crypto::random_bytes(kIdSize / 2));
  wanted.created = clock_.now();
  wanted.revoked.reset();
  auto text = to_base64url(crypto::random_bytes(32));
  if (!wanted.is_aws) text = std::string(kPrefix) + wanted.id + "_" + text;
  Secret key(text);
  wipe_memory({reinterpret_cast<std::uint8_t*>(text.data()), text.size()});
  Entry entry;
  entry.info = wanted;
  if (wanted.is_aws) {
    entry.aws_secret = key;
  } else {
    entry.hash = crypto::sha256(key.reveal(SecretAccess::for_crypto()));
  }
  if (!entries.emplace(wanted.id, std::move(entry)).second) return fail(ErrorCode::already_exists, "the random id is taken", wanted.id, "try again");
  return std::pair{std::move(wanted), std::move(key)};
}

Result<std::pair<ApiKeyInfo, Secret>> ApiKeys::create(ApiKeyInfo wanted) {
  if (wanted.name.empty() || wanted.name.size() > 128 || wanted.tenant.size() > 128 || wanted.scopes.empty() || wanted.requests_per_minute < 0 ||
      wanted.concurrent_requests < 1)
    return fail(ErrorCode::invalid_argument, "a key needs a name of at most 128 bytes, a scope, and limits above 0",
                wanted.name);
  std::lock_guard lock(mutex_);
  auto next = entries_;
  auto made = TRY(add(std::move(wanted), next));
  TRY(storage_.save(serialize(next)));
  entries_ = std::move(next);
  return made;
}

Result<std::pair<ApiKeyInfo, Secret>> ApiKeys::rotate(std::string_view id, std::chrono::milliseconds overlap) {
  std::lock_guard lock(mutex_);
  auto next = entries_;
  const auto found = next.find(id);
  if (found == next.end()) return fail(ErrorCode::not_found, "no such key", std::string(id));
  if (!is_valid(found->second.info)) return fail(ErrorCode::invalid_argument, "the key has ended, so it can't be rotated", std::string(id), "make a new one");
  auto wanted = found->second.info;
  wanted.first = wanted.account();
  wanted.replaces = wanted.id;
  // As long a life as the old one had.
  if (wanted.expires) wanted.expires = clock_.now() + (*wanted.expires - wanted.created);
  auto& end = found->second.info.expires;
  end = std::min(end.value_or(TimePoint::max()), clock_.now() + overlap);
  auto made = TRY(add(std::move(wanted), next));
  TRY(storage_.save(serialize(next)));
  entries_ = std::move(next);
  return made;
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
  if (key.size() != kPrefix.size() + kIdSize + 1 + kSecretSize || !key.starts_with(kPrefix)) return denied_key();
  auto hash = crypto::sha256(key);
  std::lock_guard lock(mutex_);
  auto found = entries_.find(key.substr(kPrefix.size(), kIdSize));
  // An unknown id is compared too, so that the time does not tell which ids exist.
  const Digest nobody{};
  const auto& expected = found == entries_.end() ? nobody : found->second.hash;
  bool equal = equal_constant_time(hash.bytes(), expected.bytes());
  if (!equal || found == entries_.end() || found->second.info.is_aws || !is_valid(found->second.info)) return denied_key();
  return found->second.info;
}

bool ApiKeys::is_valid(const ApiKeyInfo& info) const { return !info.revoked && !(info.expires && clock_.now() >= *info.expires); }

Result<ApiKeyInfo> ApiKeys::authenticate_aws(std::string_view access_key_id, const std::function<bool(const Secret&)>& fits) const {
  static const Secret nobody(to_base64url(crypto::random_bytes(32)));
  std::string id;
  if (access_key_id.size() == kAwsPrefix.size() + kIdSize && access_key_id.starts_with(kAwsPrefix)) {
    id = access_key_id.substr(kAwsPrefix.size());
    std::transform(id.begin(), id.end(), id.begin(), [](char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c; });
  }
  std::lock_guard lock(mutex_);
  const auto found = entries_.find(id);
  const bool known = found != entries_.end() && found->second.info.is_aws && access_key_id_of(found->second.info) == access_key_id;
  const bool right = fits(known ? found->second.aws_secret : nobody);
  if (!right || !known || !is_valid(found->second.info)) return denied_key();
  return found->second.info;
}

}  // namespace redoubt::gateway
