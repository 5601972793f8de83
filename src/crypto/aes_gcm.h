// SPDX-License-Identifier: Apache-2.0
//
// AES-256-GCM (NIST SP 800-38D) with 12-byte nonces and 16-byte tags. The nonce is the caller's to keep unique under a key.
#pragma once

#include "base/bytes.h"
#include "base/secret.h"

namespace redoubt::crypto {

constexpr std::size_t kAesGcmKeyBytes = 32;
constexpr std::size_t kAesGcmNonceBytes = 12;
constexpr std::size_t kAesGcmTagBytes = 16;

// Ciphertext followed by the tag. `key` is 32 bytes, `nonce` 12.
Bytes aes_gcm_seal(const Secret& key, ByteView nonce, ByteView plaintext, ByteView associated_data);
// The same into memory of the caller: `into` is 16 bytes longer than the plaintext and does not overlap it.
void aes_gcm_seal_into(const Secret& key, ByteView nonce, ByteView plaintext, ByteView associated_data, MutableByteView into);
// The plaintext; `tampered` when the tag does not verify or the input is shorter than a tag.
Result<Bytes> aes_gcm_open(const Secret& key, ByteView nonce, ByteView sealed, ByteView associated_data);
// The same into memory of the caller: `into` is 16 bytes shorter than `sealed`, and wiped when the tag does not verify.
Status aes_gcm_open_into(const Secret& key, ByteView nonce, ByteView sealed, ByteView associated_data, MutableByteView into);

}  // namespace redoubt::crypto
