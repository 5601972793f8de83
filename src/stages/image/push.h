// SPDX-License-Identifier: Apache-2.0
//
// Images to a registry, from one and between two, byte for byte: blobs first, then manifests, the one that a tag names last, so that
// a tag never names what is not whole. Tags do not move: one that names another image is left as it is. Every byte is checked by
// its digest as it passes.
#pragma once

#include "base/progress.h"
#include "provider/registry/registry_client.h"
#include "stages/image/oci/manifest.h"

namespace redoubt::stages::image {

struct PushReport {
  Digest digest;  // the same here and there
  std::string reference;  // HOST[:PORT]/REPOSITORY:TAG
  std::uint64_t blobs_sent = 0, blobs_present = 0, blobs_mounted = 0, bytes_sent = 0;
  bool unchanged = false;  // the tag was there and named this image
};

// already_exists when the tag names another image; tampered when the store or the registry has other bytes than the digests say.
// An index goes with all its images. The reference names a tag.
Result<PushReport> push_image(provider::ImageStore& images, const provider::ImageDescriptor& image, provider::registry::RegistryClient& registry,
                              const provider::registry::RemoteReference& reference,
                              Progress& progress);

struct PullReport {
  provider::ImageDescriptor image;  // what the tag or the digest names
  std::uint64_t blobs_fetched = 0, blobs_present = 0, bytes_fetched = 0;
};
enum class Platforms {
  one,  // of an index, the image for the platform
  all,  // the index and all its images
};

// Everything that the image consists of, into a store; nothing is tagged. not_found, tampered, limit_exceeded.
Result<PullReport> pull_image(const provider::registry::RegistryClient& registry, const std::string& tag_or_digest, provider::ImageStore& images, Platforms platforms,
                              const oci::Platform& platform, Progress& progress);

// From one repository to another, maybe of the same registry: then blobs are mounted and not sent. `to` names a tag.
Result<PushReport> copy_image(const provider::registry::RegistryClient& from, const std::string& tag_or_digest, provider::registry::RegistryClient& to,
                              const provider::registry::RemoteReference& reference, Platforms platforms, const oci::Platform& platform, Progress& progress);

}  // namespace redoubt::stages::image
