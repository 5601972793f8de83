// SPDX-License-Identifier: Apache-2.0
//
// A secret that two P-256 keys share (ECDH, NIST SP 800-56A), and keys wrapped under it (AES-256 key wrap, RFC 3394).
#pragma once

#include "crypto/sign.h"

namespace redoubt::crypto {

struct CurvePoint {
  Bytes x, y;  // 32 bytes each, the first one the most significant
};
// invalid_argument for a key that is not P-256, and for coordinates that are no point of the curve.
Result<CurvePoint> point_of(const PublicKey& key);
Result<PublicKey> public_key_of(const CurvePoint& point);

// The 32 bytes of the shared point's x; to be put through a key derivation before use.
Result<Secret> agree(const SigningKey& own, const PublicKey& other);

// Eight bytes longer than the key. `wrapping_key` is 32 bytes, `key` a multiple of 8.
Bytes wrap_key(const Secret& wrapping_key, const Secret& key);
// tampered when it was not wrapped under that key.
Result<Secret> unwrap_key(const Secret& wrapping_key, ByteView wrapped);

}  // namespace redoubt::crypto
