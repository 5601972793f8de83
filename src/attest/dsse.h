// SPDX-License-Identifier: Apache-2.0
//
// DSSE v1.0.2 envelopes (https://github.com/secure-systems-lab/dsse): a payload, its type, and signatures over both. What
// `verify` answers is exactly the bytes that the signature covers; nobody reads a payload that was not verified.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "attest/statement.h"
#include "crypto/sign.h"

namespace redoubt::attest {

struct EnvelopeSignature {
  std::string key_id;
  Bytes signature;
};

struct Envelope {
  std::string payload_type;
  Bytes payload;
  std::vector<EnvelopeSignature> signatures;  // 1 to 16
};

// A key that a verifier trusts, and whose it is.
struct TrustedKey {
  crypto::PublicKey key;
  std::string identity;
};
// The key with that id (crypto::PublicKey::key_id), or nothing when it is not trusted.
using TrustedKeys = std::function<std::optional<TrustedKey>(std::string_view key_id)>;

// The bytes that are signed: "DSSEv1 <length> <type> <length> <payload>".
Bytes pre_authentication_encoding(std::string_view payload_type, ByteView payload);

// One signature, keyid = the public key's key_id.
Envelope sign_envelope(std::string_view payload_type, ByteView payload, const crypto::SigningKey& key);
// Canonical JSON: compact, keys sorted, standard base64.
std::string to_text(const Envelope& envelope);

// Strict: no unknown member, canonical base64, 1 to 16 signatures. Nothing is verified yet.
Result<Envelope> parse_envelope(std::string_view text, std::string_view where);

struct VerifiedPayload {
  std::string payload_type;
  Bytes payload;
  std::string key_id;    // of the first trusted signature
  std::string identity;  // whose key that is
};

// tampered when no signature is by a trusted key, or a signature that names a trusted key does not verify. Signatures by
// keys that nobody trusts are ignored, as DSSE asks.
Result<VerifiedPayload> verify_envelope(const Envelope& envelope, const TrustedKeys& trusted, std::string_view where);

struct VerifiedStatement {
  Statement statement;
  Digest digest;  // SHA-256 of the payload as signed
  std::string key_id;
  std::string identity;
};

// A statement's envelope. Verifying takes canonical envelopes with one signature and a canonical payload only, so that no
// byte of `text` can change unnoticed. Whatever is wrong with it is tampered.
std::string sign_statement(const Statement& statement, const crypto::SigningKey& key);
Result<VerifiedStatement> verify_statement(std::string_view text, const TrustedKeys& trusted, std::string_view where);

}  // namespace redoubt::attest
