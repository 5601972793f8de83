// SPDX-License-Identifier: Apache-2.0
//
// Unpacks an OCI layer (tar, tar+gzip, tar+zstd; OCI image spec v1.1, "layer.md": whiteouts) below a folder. Runs inside the
// sandbox's namespaces after the host's files are out of reach. Owners are ignored, set-id bits dropped; refused are paths
// that leave the folder, devices, FIFOs, sockets, and more bytes or entries than the limits.
#pragma once

#include "base/file.h"
#include "base/stream.h"

namespace redoubt::sandbox {

struct UnpackLimits {
  std::uint64_t bytes_max = 0;    // counts down over the layers of an image
  std::uint64_t entries_max = 0;  // so does this
};

// Reads `layer` to its end. invalid_argument for what must not be unpacked, limit_exceeded.
Status unpack_layer(Source& layer, int root, UnpackLimits& limits);

}  // namespace redoubt::sandbox
