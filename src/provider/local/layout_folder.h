// SPDX-License-Identifier: Apache-2.0
//
// An OCI image layout that somebody else wrote (skopeo, umoci, buildah, `docker buildx`), to read from. Nothing in it is changed; what
// it says is believed only where a digest proves it.
#pragma once

#include <filesystem>
#include <memory>

#include "provider/image_store.h"

namespace redoubt::provider::local {

class LayoutFolder final : public ImageStore {
 public:
  // not_found where the folder is no layout; unsupported for another version of it.
  static Result<std::unique_ptr<LayoutFolder>> open(std::filesystem::path folder);

  Result<Digest> put_blob(Source& contents) override;                                   // unsupported
  Result<std::unique_ptr<Source>> open_blob(const Digest& digest) override;
  Status tag(std::string_view name, const ImageDescriptor& manifest) override;          // unsupported
  // A tag, a digest, or "" for the only image there is.
  Result<ImageDescriptor> resolve(std::string_view name_or_digest) override;
  Result<std::vector<std::pair<std::string, ImageDescriptor>>> list() override;

 private:
  explicit LayoutFolder(std::filesystem::path folder) : folder_(std::move(folder)) {}
  std::filesystem::path folder_;
};

}  // namespace redoubt::provider::local
