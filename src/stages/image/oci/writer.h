// SPDX-License-Identifier: Apache-2.0
//
// Layers, configurations and manifests into a store. The one way in which this program makes an image.
#pragma once

#include "base/progress.h"
#include "stages/image/oci/manifest.h"
#include "stages/image/oci/tar.h"

namespace redoubt::stages::image::oci {

enum class LayerCompression {
  none,  // the same bytes whatever library compresses
  gzip,  // level 6, without a time; the same bytes wherever zlib is the same
};

struct LayerOptions {
  LayerCompression compression = LayerCompression::none;
  Parents parents = Parents::add;
  std::uint64_t seconds = 0;  // the time of everything in it
};

struct WrittenLayer {
  provider::ImageDescriptor blob;
  Digest diff_id;
};

Result<WrittenLayer> write_layer(provider::ImageStore& images, std::vector<TarEntry> entries, const LayerOptions& options, std::string_view label, Progress& progress);

Result<provider::ImageDescriptor> write_json(provider::ImageStore& images, const Json& value, const char* media_type);

// The configuration and the manifest over layers; `config` without "rootfs", which is made of the layers.
Result<provider::ImageDescriptor> write_manifest(provider::ImageStore& images, Json config, const std::vector<WrittenLayer>& layers, const Json& annotations);

}  // namespace redoubt::stages::image::oci
