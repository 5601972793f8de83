// SPDX-License-Identifier: Apache-2.0
//
// An ImageStore near at hand whose images are published to another one: jobs of this machine read the near copy, those that run
// elsewhere the far one. An image is there when both have it, under the same digest.
#pragma once

#include "provider/image_store.h"

namespace redoubt::provider {

class MirroredImageStore final : public ImageStore {
 public:
  // Both must outlive it.
  MirroredImageStore(ImageStore& near, ImageStore& far) : near_(near), far_(far) {}

  Result<Digest> put_blob(Source& contents) override;  // near; it is published when a manifest that names it is tagged
  Result<std::unique_ptr<Source>> open_blob(const Digest& digest) override;  // near, else far
  // Publishes what the manifest names and the far store lacks, then names it far and near: a near tag means a published image.
  Status tag(std::string_view name, const ImageDescriptor& manifest) override;
  // tampered when the two name different images.
  Result<ImageDescriptor> resolve(std::string_view name_or_digest) override;
  Result<std::vector<std::pair<std::string, ImageDescriptor>>> list() override;  // those that both have

 private:
  Status publish(const Digest& digest);

  ImageStore& near_;
  ImageStore& far_;
};

}  // namespace redoubt::provider
