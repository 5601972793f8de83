// SPDX-License-Identifier: Apache-2.0
//
// AES-256-CTR (NIST SP 800-38A) with HMAC-SHA-256 over the ciphertext under the same key: the stream cipher of encrypted OCI layers.
// Plaintext that was read from it is believed only once the code was compared at the end.
#pragma once

#include <memory>

#include "base/bytes.h"
#include "base/secret.h"
#include "crypto/hash.h"

namespace redoubt::crypto {

constexpr std::size_t kAesCtrKeyBytes = 32, kAesCtrNonceBytes = 16;

class AesCtrHmac {
 public:
  AesCtrHmac(const Secret& key, ByteView nonce);
  ~AesCtrHmac();
  AesCtrHmac(AesCtrHmac&&) noexcept;
  // In place.
  void encrypt(MutableByteView bytes);
  void decrypt(MutableByteView bytes);
  // The code over all ciphertext; called once, at the end.
  Digest finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace redoubt::crypto
