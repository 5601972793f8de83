// SPDX-License-Identifier: Apache-2.0
//
// The engine's image, from scratch: the program, exactly the shared libraries it needs, a user of its own; no shell, no package
// manager. The same files give the same digest on every machine.
#pragma once

#include "base/progress.h"
#include "provider/image_store.h"
#include "stages/image/elf.h"

namespace redoubt::stages::image {

inline constexpr const char* kEnginePath = "usr/bin/redoubt-engine";

struct BuildOptions {
  std::filesystem::path program;  // redoubt-engine
  std::string name = "redoubt-engine";
  std::string version;
};

// Everything that goes into the image.
struct ImageContents {
  ProgramFiles files;
  Digest digest;  // over the names and the SHA-256 of every file: equal contents, equal image
};
// Finds and hashes it all.
Result<ImageContents> collect_contents(const BuildOptions& options, Progress& progress);

struct BuiltFiles {
  provider::ImageDescriptor manifest;
  std::string tag;
};
// The tag of these contents: "<name>:<first 12 digits of their digest>".
std::string tag_of(const BuildOptions& options, const ImageContents& contents);
// Writes two layers (libraries, program), the config and the manifest, and tags the image.
Result<BuiltFiles> build_image(const BuildOptions& options, const ImageContents& contents, provider::ImageStore& store, Progress& progress);

}  // namespace redoubt::stages::image
