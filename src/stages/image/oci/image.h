// SPDX-License-Identifier: Apache-2.0
//
// An image of a store, read and checked from its manifest to the last byte of its layers: every digest, every size, and every
// diff_id of its configuration against the uncompressed layer. What is built on it or told about it stands on bytes that were seen.
#pragma once

#include "base/progress.h"
#include "stages/image/oci/manifest.h"
#include "stages/image/oci/tree.h"

namespace redoubt::stages::image::oci {

struct Image {
  provider::ImageDescriptor manifest;
  std::string manifest_text;
  Json config;                                      // the whole document
  provider::ImageDescriptor config_blob;
  std::vector<provider::ImageDescriptor> layers;
  std::vector<Digest> diff_ids;
  ImageTree tree;
};

// Called for each entry of each layer, the lowest first.
using OnLayerEntry = std::function<Status(int layer, const LayerEntry& entry, Source& contents)>;

// `image` may be an index, of which `platform` is taken. tampered where a digest, a size or a diff_id does not fit;
// invalid_argument, unsupported and limit_exceeded as of the parts.
Result<Image> read_image(provider::ImageStore& images, const provider::ImageDescriptor& image, const Platform& platform, Progress& progress,
                         const OnLayerEntry& on_entry = {}, LayerLimits limits = {});

// Manifest and configuration alone.
Result<Image> read_image_documents(provider::ImageStore& images, const provider::ImageDescriptor& image, const Platform& platform);

// The contents of one file of at most `bytes_max` bytes; `path` must be a file of the tree.
Result<std::string> read_file(provider::ImageStore& images, const Image& image, const std::string& path, std::uint64_t bytes_max);

// Writes files of the tree to a folder: `wanted` are paths of files in the tree, and where each goes.
Status extract(provider::ImageStore& images, const Image& image, const std::map<std::string, std::filesystem::path>& wanted, Progress& progress);

// Everything that the image consists of, into another store; checked on the way. The manifest is put and not tagged.
Status copy_blobs(provider::ImageStore& from, provider::ImageStore& to, const Image& image, Progress& progress);

}  // namespace redoubt::stages::image::oci
