// SPDX-License-Identifier: Apache-2.0
//
// A signing key in a PKCS#11 token (OASIS PKCS #11 2.40): the module is loaded, the token signs, and the private key never
// leaves it. The module is foreign code in this process, so it is loaded only from a path that the caller's user named or from
// the system's folders of modules.
#pragma once

#include <memory>

#include "crypto/pkcs11_uri.h"
#include "crypto/sign.h"

namespace redoubt::crypto {

// Not safe to share between threads.
class TokenKey {
 public:
  // Logs in and finds exactly one EC key over P-256, P-384 or P-521. not_found for a module, token or key that is not there;
  // permission_denied for a wrong PIN; invalid_argument where the URI fits several tokens or keys; unsupported for a key of
  // another kind; unavailable for whatever else the module answers, with its code.
  static Result<std::unique_ptr<TokenKey>> open(const Pkcs11Uri& uri, const Secret& pin);
  ~TokenKey();

  const PublicKey& public_key() const;
  // ECDSA in ASN.1 DER over the message, hashed as the curve asks.
  Result<Bytes> sign(ByteView message) const;

 private:
  struct State;
  explicit TokenKey(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace redoubt::crypto
