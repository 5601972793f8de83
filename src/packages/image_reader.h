// SPDX-License-Identifier: Apache-2.0
//
// The packages of an image, wherever it lies: blobs behind their digests, an OCI layout (a folder or a tar), what `docker save` writes, or
// an unpacked root folder. Layers are plain, gzip or zstd; whiteouts count; every blob is what its digest says, or the read is tampered.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/stream.h"
#include "packages/package.h"

namespace redoubt::packages {

using OpenBlob = std::function<Result<std::unique_ptr<Source>>(const Digest&)>;

// Which manifest of an index of several.
struct Platform {
  std::string os = "linux", architecture = "amd64";
};
// "linux/amd64"; invalid_argument.
Result<Platform> parse_platform(const std::string& text);

struct ImageReading {
  Inventory inventory;
  Distribution distribution;
  std::string name;              // what was looked at, as it was named
  std::optional<Digest> digest;  // of the manifest; a folder has none
};

// `root` is a manifest or an index. Nothing is checked against a digest here: `open` does.
Result<ImageReading> read_image(const OpenBlob& open, const Digest& root, const Platform& platform = {});

// Whether this names something on the disk: a path, or a layout's with ":TAG" or "@DIGEST" behind it.
bool is_on_disk(const std::string& reference);
// not_found, invalid_argument for what is no image, tampered for a blob that is not what its name says.
Result<ImageReading> read_image_on_disk(const std::string& reference, const Platform& platform = {});

}  // namespace redoubt::packages
