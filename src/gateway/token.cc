// SPDX-License-Identifier: Apache-2.0
#include "gateway/token.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "crypto/hash.h"

namespace redoubt::gateway {
namespace {

constexpr std::size_t kTokenBytesMax = 8 << 10, kKeysMax = 100, kSubjectMax = 255;
constexpr JsonLimits kPartLimits{.bytes_max = kTokenBytesMax, .depth_max = 8};

tl::unexpected<Error> denied_token(const char* why) { return fail(ErrorCode::permission_denied, why, "token"); }

// A part of a token as JSON. Duplicate members are refused: two readers could take different ones.
Result<Json> part_of(std::string_view text) {
  const auto bytes = from_base64url(text);
  if (!bytes) return denied_token("a part of the token is no base64url");
  auto json = parse_json(text_of(*bytes), "token", kPartLimits);
  if (!json || !json->is_object()) return denied_token("a part of the token is no JSON object, or names a member twice");
  return std::move(*json);
}

bool names_audience(const Json& claim, const std::string& audience) {
  if (claim.is_string()) return claim == audience;
  return claim.is_array() && std::any_of(claim.begin(), claim.end(), [&](const auto& one) { return one == audience; });
}

// NumericDate of RFC 7519; nothing for what is none.
std::optional<TimePoint> time_of(const Json& claims, const char* name) {
  if (!claims.contains(name) || !claims[name].is_number()) return std::nullopt;
  const double seconds = claims[name].get<double>();
  if (!(seconds >= 0 && seconds < 1e11)) return std::nullopt;
  return TimePoint(std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000)));
}

std::vector<std::string> words_of(const Json& claim) {
  std::vector<std::string> words;
  if (claim.is_string()) {
    std::istringstream text(claim.get<std::string>());
    for (std::string word; text >> word;) words.push_back(word);
  }
  if (claim.is_array())
    for (const auto& word : claim)
      if (word.is_string()) words.push_back(word.get<std::string>());
  return words;
}

}  // namespace

// A key whose members contradict what it would be used for here says why (RFC 7517, sections 4.2 to 4.4).
TokenIssuer::Key TokenIssuer::key_of(const Json& jwk) const {
  const auto unusable = [](std::string why) { return Key{.why = std::move(why)}; };
  if (!jwk.is_object()) return unusable("the key is no JSON object");
  if (jwk.contains("use") && jwk["use"] != "sig") return unusable("the key's use is another than signatures");
  const auto ops = json_or(jwk, "key_ops", Json::array());
  if (jwk.contains("key_ops") && std::find(ops.begin(), ops.end(), "verify") == ops.end()) return unusable("the key's operations do not have 'verify'");
  auto key = crypto::JwtKey::from_jwk(jwk);
  if (!key) return unusable("the key can't be used: " + key.error().message);
  if (!jwk.contains("alg")) return {.key = std::move(*key)};
  const auto name = json_or(jwk, "alg", "");
  const auto algorithm = crypto::parse_jwt_algorithm(name);
  if (!algorithm || !rules_.algorithms.contains(*algorithm)) return unusable("the key's algorithm is none that is allowed");
  if (!key->takes(*algorithm)) return unusable("the key's algorithm is none of its kind");
  return {.key = std::move(*key), .algorithm = name};
}

Result<TokenIssuer::Keys> TokenIssuer::parse_keys(std::string_view text) const {
  constexpr std::string_view kWhere = "JSON Web Key Set";
  const auto set = TRY(parse_json(text, kWhere, {1 << 20, 8}));
  const auto list = TRY(json_array(set, "keys", kWhere));
  if (list.size() > kKeysMax) return fail(ErrorCode::limit_exceeded, "more than 100 keys", std::string(kWhere));
  Keys keys;
  std::string why;
  for (const auto& jwk : list) {
    auto key = key_of(jwk);
    if (!key.key) why = key.why;
    auto& place = keys[json_or(jwk, "kid", "")];
    if (place.key && key.key) return fail(ErrorCode::invalid_argument, "two keys have the same kid", std::string(kWhere));
    if (!place.key) place = std::move(key);
  }
  if (count_usable(keys) == 0) return fail(ErrorCode::invalid_argument, "no key that can verify a token" + (why.empty() ? "" : "; of the last one: " + why), std::string(kWhere));
  return keys;
}

Result<std::unique_ptr<TokenIssuer>> TokenIssuer::create(TokenRules rules, const Clock& clock) {
  if (rules.issuer.empty() || rules.audience.empty() || rules.algorithms.empty())
    return fail(ErrorCode::invalid_argument, "an issuer, an audience and an algorithm are needed", "oidc");
  return std::unique_ptr<TokenIssuer>(new TokenIssuer(std::move(rules), clock));
}

Result<std::unique_ptr<TokenIssuer>> TokenIssuer::create(TokenRules rules, std::string_view key_set, const Clock& clock) {
  auto issuer = TRY(create(std::move(rules), clock));
  TRY(issuer->replace_keys(key_set));
  return issuer;
}

Status TokenIssuer::replace_keys(std::string_view key_set) {
  auto parsed = TRY(parse_keys(key_set));
  auto keys = std::make_shared<const Keys>(std::move(parsed));
  const std::lock_guard lock(mutex_);
  keys_ = std::move(keys);
  return {};
}

std::shared_ptr<const TokenIssuer::Keys> TokenIssuer::keys() const {
  const std::lock_guard lock(mutex_);
  return keys_;
}

std::size_t TokenIssuer::count_usable(const Keys& keys) {
  return static_cast<std::size_t>(std::count_if(keys.begin(), keys.end(), [](const auto& one) { return one.second.key.has_value(); }));
}

std::size_t TokenIssuer::key_count() const { return count_usable(*keys()); }

// Whoever comes with a key that the issuer began to use a moment ago is told to come again, not that he is nobody.
tl::unexpected<Error> TokenIssuer::missing_key(bool is_first) const {
  const bool is_fetched = is_fetched_ && is_fetched_();
  if (is_first) return fail(ErrorCode::unavailable, "the issuer's keys are not here yet", "token");
  if (is_fetched) return fail(ErrorCode::unavailable, "signed by a key that is not in the set, which is being fetched again", "token");
  return denied_token("signed by a key that is not in the set");
}

Status TokenIssuer::check_signature(std::string_view token, std::size_t signed_size, const Json& header) const {
  const auto name = json_or(header, "alg", "");
  const auto algorithm = crypto::parse_jwt_algorithm(name);
  if (!algorithm || !rules_.algorithms.contains(*algorithm)) return denied_token("signed with an algorithm that is not allowed");
  // Where a key comes from is not for the token to say, and what is critical is not understood.
  for (const char* member : {"jku", "x5u", "jwk", "x5c", "crit", "b64", "zip"})
    if (header.contains(member)) return denied_token("the token's header has a member that is not taken");
  if (header.contains("kid") && !header["kid"].is_string()) return denied_token("the key's name is no text");
  const auto keys = this->keys();
  if (keys->empty()) return missing_key(true);
  if (!header.contains("kid") && count_usable(*keys) != 1) return denied_token("the token names no key, and the set has several");
  const auto found = header.contains("kid") ? keys->find(header["kid"].get_ref<const std::string&>())
                                            : std::find_if(keys->begin(), keys->end(), [](const auto& one) { return one.second.key.has_value(); });
  if (found == keys->end()) return missing_key(false);
  const auto& key = found->second;
  if (!key.key) return fail(ErrorCode::permission_denied, key.why, "token");
  if (!key.algorithm.empty() && key.algorithm != name) return denied_token("signed with another algorithm than the key's");
  const auto signature = from_base64url(token.substr(signed_size + 1));
  if (!signature || !key.key->verify(*algorithm, view_of(token.substr(0, signed_size)), *signature)) return denied_token("the token's signature is wrong");
  return {};
}

Status TokenIssuer::check_claims(const Json& claims) const {
  const auto now = clock_.now();
  const auto skew = std::chrono::seconds(rules_.skew_s);
  if (json_or(claims, "iss", "") != rules_.issuer) return denied_token("a token of another issuer");
  if (!claims.contains("aud") || !names_audience(claims["aud"], rules_.audience)) return denied_token("a token for another audience");
  const auto end = time_of(claims, "exp");
  if (!end || now >= *end + skew) return denied_token("the token has expired, or has no end");
  for (const char* name : {"nbf", "iat"}) {
    const auto begin = time_of(claims, name);
    if (claims.contains(name) && (!begin || now + skew < *begin)) return denied_token("the token is not valid yet");
  }
  return {};
}

Result<ApiKeyInfo> TokenIssuer::caller_of(const Json& claims) const {
  const auto subject = json_or(claims, "sub", "");
  if (subject.empty() || subject.size() > kSubjectMax) return denied_token("the token names nobody");
  auto caller = rules_.caller;
  // The subject may be a person's name or address: what logs and limits know is a hash of it.
  caller.id = "oidc-" + crypto::sha256(rules_.issuer + '\0' + subject).hex().substr(0, 16);
  caller.name = subject;
  caller.scopes.clear();
  for (const auto& word : words_of(claims.contains(rules_.scopes_claim) ? claims[rules_.scopes_claim] : Json()))
    if (const auto scope = parse_scope(word)) caller.scopes.insert(*scope);
  if (!rules_.tenant_claim.empty()) {
    caller.tenant = json_or(claims, rules_.tenant_claim.c_str(), "");
    if (caller.tenant.empty() || caller.tenant.size() > 128) return denied_token("the token names no tenant");
  }
  caller.expires = time_of(claims, "exp");
  return caller;
}

Result<ApiKeyInfo> TokenIssuer::authenticate(std::string_view token) const {
  const auto first = token.find('.'), last = token.rfind('.');
  if (token.size() > kTokenBytesMax || first == token.npos || first == last || token.find('.', first + 1) != last) return denied_token("this is no token of three parts");
  const auto header = TRY(part_of(token.substr(0, first)));
  TRY(check_signature(token, last, header));
  // Only what was signed is read further.
  const auto claims = TRY(part_of(token.substr(first + 1, last - first - 1)));
  TRY(check_claims(claims));
  return caller_of(claims);
}

}  // namespace redoubt::gateway
