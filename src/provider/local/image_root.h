// SPDX-License-Identifier: Apache-2.0
//
// An OCI image (image spec v1.1) as a sandbox needs it: its layers in order and what it wants to be started with.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "provider/image_store.h"

namespace redoubt::provider::local {

struct ImageRoot {
  std::vector<std::unique_ptr<Source>> layers;  // digest-checked as they are read
  std::vector<std::string> entry_point;         // Entrypoint of the configuration; an absolute path first
  std::vector<std::string> environment;         // Env of the configuration
};

// Reads manifest and configuration of an image named by digest. invalid_argument for an index or a layer that isn't a tar,
// tar+gzip or tar+zstd; the store's errors (not_found, tampered).
Result<ImageRoot> open_image(ImageStore& images, const std::string& digest);

}  // namespace redoubt::provider::local
