// SPDX-License-Identifier: Apache-2.0
//
// Which packages the files of the engine's image come from: Debian's by dpkg's lists, Python's by the RECORD of their dist-info.
#pragma once

#include <filesystem>
#include <vector>

#include "packages/package.h"
#include "stages/image/build.h"

namespace redoubt::stages::image {

using packages::Package;

struct PackageFolders {
  std::filesystem::path dpkg = "/var/lib/dpkg";
  std::filesystem::path os_release = "/etc/os-release";
};

// The packages of everything in the image, sorted; the engine itself is one without an ecosystem.
Result<std::vector<Package>> find_packages(const BuildOptions& options, const ImageContents& contents, const PackageFolders& folders = {});

}  // namespace redoubt::stages::image
