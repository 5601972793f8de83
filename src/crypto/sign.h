// SPDX-License-Identifier: Apache-2.0
//
// Digital signatures: Ed25519 (RFC 8032) for the ledger and attestations; where a foreign format asks for it ECDSA (FIPS 186-5,
// signatures in ASN.1 DER) over P-256, P-384 or P-521 with SHA-256, SHA-384 or SHA-512.
#pragma once

#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/secret.h"

namespace redoubt::crypto {

enum class SignatureAlgorithm { ed25519, ecdsa_p256, ecdsa_p384, ecdsa_p521 };

class PublicKey {
 public:
  // SubjectPublicKeyInfo in PEM; invalid_argument for anything but the algorithms above.
  static Result<PublicKey> from_pem(std::string_view pem);
  // 32 bytes (RFC 8032 section 5.1.5).
  static Result<PublicKey> from_ed25519(ByteView raw);
  // An uncompressed point (SEC 1 section 2.3.3) of the algorithm's curve.
  static Result<PublicKey> from_ec_point(SignatureAlgorithm algorithm, ByteView point);

  SignatureAlgorithm algorithm() const;
  // Whether `signature` is one of `message`. A malformed signature is false.
  bool verify(ByteView message, ByteView signature) const;
  std::string to_pem() const;
  // The 32 bytes of an Ed25519 key; a CHECK for another.
  Bytes ed25519() const;
  // SHA-256 over the DER form of SubjectPublicKeyInfo, in hexadecimal: the key id of DSSE signatures.
  std::string key_id() const;

 private:
  friend class SigningKey;
  struct Key;
  explicit PublicKey(std::shared_ptr<const Key> key) : key_(std::move(key)) {}
  std::shared_ptr<const Key> key_;
};

class SigningKey {
 public:
  static SigningKey generate(SignatureAlgorithm algorithm);
  // Unencrypted, in PEM (PKCS#8 or SEC 1); the caller seals it.
  static Result<SigningKey> from_pem(const Secret& pem);

  Bytes sign(ByteView message) const;
  PublicKey public_key() const;
  Secret to_pem() const;

 private:
  explicit SigningKey(std::shared_ptr<const PublicKey::Key> key) : key_(std::move(key)) {}
  std::shared_ptr<const PublicKey::Key> key_;
};

// The message's digest as an ECDSA algorithm hashes it, for a token that signs digests; empty for Ed25519.
Bytes ecdsa_digest(SignatureAlgorithm algorithm, ByteView message);
// r and s one after the other, equally long, as PKCS#11 gives a signature, in ASN.1 DER; invalid_argument.
Result<Bytes> ecdsa_der_of(ByteView r_and_s);

}  // namespace redoubt::crypto
