// SPDX-License-Identifier: Apache-2.0
//
// What stands beside an image: signatures, bills of materials, attestations. Each is a manifest whose subject is the image (OCI image
// spec v1.1). A registry that lists referrers is asked; for one that does not, the index under the tag "sha256-<hex>" is kept as the
// distribution spec has it. Beside an image of the local store they lie under tags that name both.
#pragma once

#include "provider/registry/registry_client.h"
#include "stages/image/oci/manifest.h"

namespace redoubt::stages::image {

struct Artifact {
  std::string type;                 // its media type
  std::string contents;
  Json annotations = Json::object();
};

struct Referrer {
  oci::Descriptor manifest;         // with its artifact type and its annotations
};

inline constexpr std::uint64_t kArtifactBytesMax = 256 << 20;

// The manifest over an artifact; `subject` as the registry or the store describes the image.
Json artifact_manifest(const Artifact& artifact, const provider::ImageDescriptor& subject, const provider::ImageDescriptor& layer);

// Puts the artifact beside the image; answers its manifest. The same artifact again changes nothing.
Result<provider::ImageDescriptor> attach(provider::registry::RegistryClient& registry, const provider::ImageDescriptor& subject, const Artifact& artifact);
Result<provider::ImageDescriptor> attach(provider::ImageStore& images, const provider::ImageDescriptor& subject, const Artifact& artifact);

// All of them, or those of a type; an answer that is not an index is unsupported, one that names too much limit_exceeded.
Result<std::vector<Referrer>> referrers(const provider::registry::RegistryClient& registry, const Digest& subject, const std::string& type = {});
Result<std::vector<Referrer>> referrers(provider::ImageStore& images, const Digest& subject, const std::string& type = {});

// The only layer of an artifact, its digest checked.
Result<std::string> contents_of(const provider::registry::RegistryClient& registry, const Referrer& referrer);
Result<std::string> contents_of(provider::ImageStore& images, const Referrer& referrer);

// Everything beside an image of the store to the registry.
Result<std::size_t> push_referrers(provider::ImageStore& images, const provider::ImageDescriptor& subject, provider::registry::RegistryClient& registry);

// Whether a tag of the store is one of these.
bool is_referrer_tag(std::string_view tag);

}  // namespace redoubt::stages::image
