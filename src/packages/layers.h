// SPDX-License-Identifier: Apache-2.0
//
// Archives and folders on their way into a RootFiles, or onto the disk.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>

#include "image_layer/layer.h"
#include "packages/root_files.h"

namespace redoubt::packages {

using image_layer::LayerLimits;

// What an image may hold that is looked into and not run.
inline constexpr LayerLimits kImageLimits{.bytes_max = 256ull << 30, .entries_max = 10'000'000};

using OpenLayer = std::function<Result<std::unique_ptr<Source>>()>;

// One layer: a tar, plain or compressed by gzip or zstd, read to its end; a second time where links come after the files that they stand for.
Status add_layer(const OpenLayer& open, const std::string& where, RootFiles& root, LayerLimits& limits);

// An unpacked root: links are not followed out of it, other file systems' folders of the machine (proc, sys, dev, run) are left out.
Status add_root_folder(const std::filesystem::path& folder, RootFiles& root);

// The regular files of an archive of an image, below `folder`; a link within the archive becomes a copy of its name.
Status unpack_archive(const std::filesystem::path& archive, const std::filesystem::path& folder, LayerLimits& limits);

}  // namespace redoubt::packages
