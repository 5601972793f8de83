// SPDX-License-Identifier: Apache-2.0
//
// Archives and folders on their way into a RootFiles, or onto the disk.
#pragma once

#include <filesystem>

#include "packages/root_files.h"

namespace redoubt::packages {

// What an image may hold, counted down over its layers.
struct ImageBudget {
  std::uint64_t bytes = 256ull << 30;  // unpacked
};

// One layer: a tar, plain or compressed by gzip or zstd, read to its end.
Status add_layer(Source& layer, const std::string& where, RootFiles& root, ImageBudget& budget);

// An unpacked root: links are not followed out of it, other file systems' folders of the machine (proc, sys, dev, run) are left out.
Status add_root_folder(const std::filesystem::path& folder, RootFiles& root);

// The regular files of an archive of an image, below `folder`; a link within the archive becomes a copy of its name.
Status unpack_archive(const std::filesystem::path& archive, const std::filesystem::path& folder, ImageBudget& budget);

}  // namespace redoubt::packages
