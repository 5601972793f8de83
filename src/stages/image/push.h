// SPDX-License-Identifier: Apache-2.0
//
// An image of the store copied to a remote registry, byte for byte: blobs first, the manifest last, so that a tag there never names
// what is not whole. Tags do not move: one that names another image is left as it is.
#pragma once

#include "base/progress.h"
#include "provider/registry/registry_client.h"

namespace redoubt::stages::image {

struct PushReport {
  Digest digest;  // the same here and there
  std::string reference;  // HOST[:PORT]/REPOSITORY:TAG
  std::uint64_t blobs_sent = 0, blobs_present = 0, bytes_sent = 0;
  bool unchanged = false;  // the tag was there and named this image
};

// already_exists when the tag names another image; tampered when the store or the registry has other bytes than the digests say;
// unsupported for an index of several images. The reference names a tag.
Result<PushReport> push_image(provider::ImageStore& images, const provider::ImageDescriptor& image, provider::registry::RegistryClient& registry,
                              const provider::registry::RemoteReference& reference,
                              Progress& progress);

}  // namespace redoubt::stages::image
