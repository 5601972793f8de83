// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "crypto/sign.h"

namespace redoubt::governance {

// What a sealed signing key belongs to.
struct KeyOwner {
  std::string workspace, identity;
};

// A signing key under the 32 bytes of a credential file: check value (32) | nonce (12) | AES-256-GCM of the PKCS#8 PEM |
// SHA-256 of all before. The check value tells a wrong credential (permission_denied) from a changed file (tampered).
Bytes seal_signing_key(const crypto::SigningKey& key, const Secret& credential, const KeyOwner& owner);
Result<crypto::SigningKey> open_signing_key(ByteView sealed, const Secret& credential, const KeyOwner& owner);

}  // namespace redoubt::governance
