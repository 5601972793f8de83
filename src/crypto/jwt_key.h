// SPDX-License-Identifier: Apache-2.0
//
// Public keys of a JSON Web Key Set (RFC 7517, 7518, 8037) and the signatures of JSON Web Tokens they verify. Asymmetric algorithms
// alone: there is no `none` and no HMAC here that a key could be confused with.
#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "base/bytes.h"
#include "base/json.h"

namespace redoubt::crypto {

enum class JwtAlgorithm { rs256, rs384, rs512, ps256, ps384, ps512, es256, es384, es512, eddsa };
// "RS256"; nothing for any other.
std::optional<JwtAlgorithm> parse_jwt_algorithm(std::string_view name);

class JwtKey {
 public:
  // RSA from 2048 to 8192 bits, P-256, P-384, P-521 and Ed25519; anything else, a private key too, is invalid_argument.
  static Result<JwtKey> from_jwk(const Json& jwk);
  // Whether the algorithm is one of this key's kind.
  bool takes(JwtAlgorithm algorithm) const;
  // False too where the algorithm is none of this key's.
  bool verify(JwtAlgorithm algorithm, ByteView message, ByteView signature) const;

 private:
  struct Key;
  explicit JwtKey(std::shared_ptr<const Key> key) : key_(std::move(key)) {}
  std::shared_ptr<const Key> key_;
};

}  // namespace redoubt::crypto
