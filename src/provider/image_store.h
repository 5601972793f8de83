// SPDX-License-Identifier: Apache-2.0
//
// OCI images by digest with immutable tags. Guarantee: what is read by a digest has that digest, or the read says tampered.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/stream.h"

namespace redoubt::provider {

struct ImageDescriptor {
  std::string media_type;
  Digest digest;
  std::uint64_t size = 0;
};

class ImageStore {
 public:
  virtual ~ImageStore() = default;
  // Stores a blob or a manifest; its digest is computed on the way in.
  virtual Result<Digest> put_blob(Source& contents) = 0;
  // A reader that checks the digest as it is read to the end; not_found, tampered.
  virtual Result<std::unique_ptr<Source>> open_blob(const Digest& digest) = 0;
  // Names a manifest; already_exists when the tag names another digest.
  virtual Status tag(std::string_view name, const ImageDescriptor& manifest) = 0;
  // not_found for a name without a tag and a digest of nothing; a manifest that was put and never tagged may be found by digest.
  virtual Result<ImageDescriptor> resolve(std::string_view name_or_digest) = 0;
  virtual Result<std::vector<std::pair<std::string, ImageDescriptor>>> list() = 0;
};

}  // namespace redoubt::provider
