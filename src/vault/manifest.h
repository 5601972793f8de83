// SPDX-License-Identifier: Apache-2.0
//
// What an artifact consists of. The SHA-256 of a manifest's JSON is the artifact's name everywhere: in statements, in the
// registry, on the command line.
#pragma once

#include <string>
#include <vector>

#include "base/bytes.h"

namespace redoubt::vault {

struct ArtifactFile {
  std::string path;  // relative, with '/'
  std::uint64_t size = 0;
  Digest sha256;  // of the plaintext

  bool operator==(const ArtifactFile&) const = default;
};

struct Manifest {
  std::string kind;  // "model", "data", "adapter", ...: [a-z0-9-], 1 to 64 bytes
  std::vector<ArtifactFile> files;

  bool operator==(const Manifest&) const = default;
};

// Canonical JSON: files sorted by path. invalid_argument for a bad kind, an unsafe path or a path that stands twice.
Result<std::string> encode_manifest(Manifest manifest);
// Takes exactly what encode_manifest writes; tampered for anything else.
Result<Manifest> parse_manifest(std::string_view json);

constexpr std::uint64_t kManifestBytesMax = 32 << 20;

}  // namespace redoubt::vault
