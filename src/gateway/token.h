// SPDX-License-Identifier: Apache-2.0
//
// Bearer tokens of an OpenID Connect issuer (OpenID Connect Core 1.0, RFC 7519, RFC 8725): signed with an asymmetric algorithm that was
// configured, by a key of the set that was configured. Nothing that a token says decides where a key comes from.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "crypto/jwt_key.h"
#include "gateway/api_key.h"

namespace redoubt::gateway {

struct TokenRules {
  std::string issuer, audience;             // compared byte for byte
  std::set<crypto::JwtAlgorithm> algorithms = {crypto::JwtAlgorithm::rs256, crypto::JwtAlgorithm::es256};
  int skew_s = 60;                          // between the issuer's clock and ours
  std::string scopes_claim = "scope";       // whose words name our scopes; a text of words or a list
  std::string tenant_claim = {};            // whose text is the tenant; empty: `caller.tenant`
  ApiKeyInfo caller = {};                   // limits, models and tenant of who comes with a token
};

// Safe from several threads.
class TokenIssuer {
 public:
  // A JSON Web Key Set, of at most 1 MiB and 100 keys. Keys of kinds that are not known are left out; one without any left is
  // invalid_argument.
  static Result<std::unique_ptr<TokenIssuer>> create(TokenRules rules, std::string_view key_set, const Clock& clock);
  // Another key set from now on; if it can't be read the one before stays.
  Status replace_keys(std::string_view key_set);
  // Who sent this. permission_denied; the message is for logs alone and holds nothing of the token.
  Result<ApiKeyInfo> authenticate(std::string_view token) const;

 private:
  struct Key {
    crypto::JwtKey key;
    std::string algorithm;  // that the set pins it to; empty: any that is allowed
  };
  using Keys = std::map<std::string, Key, std::less<>>;
  TokenIssuer(TokenRules rules, Keys keys, const Clock& clock) : rules_(std::move(rules)), clock_(clock), keys_(std::make_shared<Keys>(std::move(keys))) {}
  static Result<Keys> parse_keys(std::string_view text);
  Status check_signature(std::string_view token, std::size_t signed_size, const Json& header) const;
  Status check_claims(const Json& claims) const;
  Result<ApiKeyInfo> caller_of(const Json& claims) const;

  const TokenRules rules_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  std::shared_ptr<const Keys> keys_;
};

}  // namespace redoubt::gateway
