// SPDX-License-Identifier: Apache-2.0
//
// Images whose layers are encrypted, as ocicrypt has them and skopeo, podman and containerd read them: media types that end in
// "+encrypted", AES-256-CTR with HMAC-SHA-256, the layer's key in a JWE (RFC 7516) for each recipient's P-256 key (ECDH-ES+A256KW,
// A256GCM). Configuration and manifest stay readable, and whoever can open the layers gets back the image byte for byte.
#pragma once

#include "base/progress.h"
#include "crypto/sign.h"
#include "stages/image/oci/manifest.h"

namespace redoubt::stages::image::oci {

inline constexpr const char* kJweAnnotation = "org.opencontainers.image.enc.keys.jwe";
inline constexpr const char* kPublicOptionsAnnotation = "org.opencontainers.image.enc.pubopts";

// The message for recipients; one of them opens it. tampered where it was not made for the key, or is changed.
Result<std::string> seal_jwe(const std::string& message, const std::vector<crypto::PublicKey>& recipients);
Result<std::string> open_jwe(std::string_view jwe, const crypto::SigningKey& key);

// From a store into the same or another one, so that the plain image need never lie where the encrypted one does. A new manifest over the
// same configuration; nothing is tagged. invalid_argument for an image that is encrypted already, an index or
// no recipient.
Result<provider::ImageDescriptor> encrypt_image(provider::ImageStore& from, provider::ImageStore& to, const provider::ImageDescriptor& image, const std::vector<crypto::PublicKey>& recipients, Progress& progress);
// The manifest that was encrypted. tampered where a layer's code does not fit; permission_denied for a key that is none of
// the recipients'; invalid_argument for an image that is not encrypted.
Result<provider::ImageDescriptor> decrypt_image(provider::ImageStore& from, provider::ImageStore& to, const provider::ImageDescriptor& image, const crypto::SigningKey& key, Progress& progress);

}  // namespace redoubt::stages::image::oci
