// SPDX-License-Identifier: Apache-2.0
//
// Bearer tokens of an OpenID Connect issuer (OpenID Connect Core 1.0, RFC 7519, RFC 8725): signed with an asymmetric algorithm that was
// configured, by a key of the set that was configured. Nothing that a token says decides where a key comes from.
#pragma once

#include <functional>
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
  // Without any key as yet.
  static Result<std::unique_ptr<TokenIssuer>> create(TokenRules rules, const Clock& clock);
  // A JSON Web Key Set, of at most 1 MiB and 100 keys. A key that can verify no token here, by its kind, its use or its algorithm, is left
  // out, and a token that names it is told so; a set without any other is invalid_argument.
  static Result<std::unique_ptr<TokenIssuer>> create(TokenRules rules, std::string_view key_set, const Clock& clock);
  // Another key set from now on; if it can't be read the one before stays.
  Status replace_keys(std::string_view key_set);
  // How many keys there are that can verify a token.
  std::size_t key_count() const;
  // Asked, by several threads, when a token names a key that is not in the set: whether the set is being fetched again. It must not block,
  // and is set before the first token comes.
  void on_missing_key(std::function<bool()> is_fetched) { is_fetched_ = std::move(is_fetched); }
  // Who sent this. permission_denied, or unavailable where the key that signed it may be here in a moment; the message is for logs alone and
  // holds nothing of the token.
  Result<ApiKeyInfo> authenticate(std::string_view token) const;

 private:
  struct Key {
    std::optional<crypto::JwtKey> key = {};  // nothing: `why` it can verify no token
    std::string algorithm = {};              // that the set pins it to; empty: any that is allowed
    std::string why = {};
  };
  using Keys = std::map<std::string, Key, std::less<>>;
  TokenIssuer(TokenRules rules, const Clock& clock) : rules_(std::move(rules)), clock_(clock), keys_(std::make_shared<Keys>()) {}
  Key key_of(const Json& jwk) const;
  Result<Keys> parse_keys(std::string_view text) const;
  std::shared_ptr<const Keys> keys() const;
  static std::size_t count_usable(const Keys& keys);
  tl::unexpected<Error> missing_key(bool is_first) const;
  Status check_signature(std::string_view token, std::size_t signed_size, const Json& header) const;
  Status check_claims(const Json& claims) const;
  Result<ApiKeyInfo> caller_of(const Json& claims) const;

  const TokenRules rules_;
  const Clock& clock_;
  std::function<bool()> is_fetched_;
  mutable std::mutex mutex_;
  std::shared_ptr<const Keys> keys_;
};

}  // namespace redoubt::gateway
