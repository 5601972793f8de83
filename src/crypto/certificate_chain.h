// SPDX-License-Identifier: Apache-2.0
//
// Certificates that vouch for a signer's key (RFC 5280): read from PEM or DER, and verified up to an authority that the caller
// names. Stricter than a plain path check: the time is the caller's, the leaf is no CA and made for signing, every issuer is
// a CA with the right to issue, and nothing weaker than 112 bits counts.
#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "crypto/sign.h"

namespace redoubt::crypto {

inline constexpr std::size_t kChainCertificatesMax = 16;

// All certificates of a PEM text of at most 1 MiB, in DER and in their order; invalid_argument where there is none, or where
// something between BEGIN and END is none.
Result<std::vector<Bytes>> certificates_from_pem(std::string_view pem);

// Who a signing certificate speaks for.
struct CertifiedSigner {
  PublicKey key;                     // ECDSA over P-256, P-384 or P-521
  std::string subject;               // RFC 2253, "CN=Release,O=Acme"
  std::string issuer;
  std::vector<std::string> names;    // the common name, and every mail address, URI and DNS name of the alternative names
  TimePoint not_before{}, not_after{};
  Digest fingerprint;                // SHA-256 of the leaf's DER form
};

// What a leaf says of itself; nothing is verified yet.
Result<CertifiedSigner> read_signer(ByteView leaf);

// `chain` has the leaf first, then what may help to reach an authority; `authorities` are trusted, and one of them that signed
// itself must be reached. At `at` all of them have to be valid. permission_denied says what is wrong: expired, not yet valid, an
// unknown authority, a CA as a leaf, a key usage without digital signatures, an extended one without code signing, a weak key.
Result<CertifiedSigner> verify_signer(const std::vector<Bytes>& chain, const std::vector<Bytes>& authorities, TimePoint at);

}  // namespace redoubt::crypto
