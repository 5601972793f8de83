// SPDX-License-Identifier: Apache-2.0
//
// Signatures of images as cosign makes and verifies them with a key (sigstore/cosign, specs/SIGNATURE_SPEC.md and BUNDLE_SPEC.md),
// ECDSA P-256 with SHA-256. Two forms: a "simple signing" document that names the image's digest, signed as it is; and a sigstore
// bundle v0.3 with an in-toto statement about that digest in a DSSE envelope. No transparency log is written to or asked: who
// verifies names the key.
#pragma once

#include <string>
#include <string_view>

#include "attest/statement.h"
#include "crypto/sign.h"

namespace redoubt::attest {

inline constexpr const char* kSimpleSigningType = "application/vnd.dev.cosign.simplesigning.v1+json";
inline constexpr const char* kSimpleSignatureAnnotation = "dev.cosignproject.cosign/signature";
inline constexpr const char* kBundleType = "application/vnd.dev.sigstore.bundle.v0.3+json";
inline constexpr const char* kCosignPredicateType = "https://sigstore.dev/cosign/sign/v1";
inline constexpr std::size_t kImageSignatureBytesMax = 4 << 20;

struct SimpleSignature {
  std::string payload;    // the blob
  std::string signature;  // base64, for the layer's annotation
};
// `repository`: "registry.example:5000/team/app", without tag and digest. invalid_argument for a key that is not P-256.
Result<SimpleSignature> sign_simple(const std::string& repository, const Digest& image, const crypto::SigningKey& key);
// Success says: this key signed that image. tampered for anything else.
Status verify_simple(std::string_view payload, std::string_view signature, const Digest& image, const crypto::PublicKey& key, std::string_view where);

// The bundle's JSON over a statement about the image: cosign's own, which says no more than "signed", or another (an SBOM, a scan).
Result<std::string> sign_image_bundle(const Digest& image, const std::string& name, const std::string& predicate_type, const Json& predicate, const crypto::SigningKey& key);
struct ImageStatement {
  std::string predicate_type;
  Json predicate;
};
// tampered when the bundle is no valid signature by `key` about `image`. A subject's name is not needed, as cosign writes none.
Result<ImageStatement> verify_image_bundle(std::string_view bundle, const Digest& image, const crypto::PublicKey& key, std::string_view where);

}  // namespace redoubt::attest
