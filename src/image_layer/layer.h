// SPDX-License-Identifier: Apache-2.0
//
// A layer of an OCI image (image spec v1.1, "layer.md") read entry by entry: tar, tar+gzip, tar+zstd. Nothing is unpacked and no
// name is followed; paths that leave the image are refused, devices and other special files are told apart, sizes are bounded.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/stream.h"

namespace redoubt::image_layer {

enum class EntryKind { file, folder, symbolic_link, hard_link, special, whiteout, opaque };

struct LayerEntry {
  std::string path;  // cleaned: no leading "./" or '/', no trailing '/'; of a whiteout: what it hides; empty: the root itself
  EntryKind kind = EntryKind::file;
  unsigned mode = 0;  // with set-id and sticky bits
  unsigned uid = 0, gid = 0;
  std::string link;  // of a symbolic link as it stands there; of a hard link cleaned like a path
  std::uint64_t size = 0;
};

struct LayerLimits {
  std::uint64_t bytes_max = 64ull << 30;     // of the uncompressed layers; counts down over the layers of an image
  std::uint64_t entries_max = 1'000'000;     // so does this
};

// `contents` is a file's; what is left of it is skipped.
using OnEntry = std::function<Status(const LayerEntry& entry, Source& contents)>;

// What libarchive reads and warns of, such as an attribute of a file that is not well-formed.
enum class Oddities { refuse, pass };

// Reads an uncompressed tar to its end. invalid_argument for what is no tar or names a path that leaves the image,
// limit_exceeded; the errors of `layer` and of `on_entry`.
Status read_tar(Source& layer, LayerLimits& limits, const OnEntry& on_entry, Oddities oddities = Oddities::refuse);

// The first bytes; fewer where it ends before.
Result<Bytes> read_head(Source& from, std::size_t length);

bool is_layer_type(std::string_view media_type);
// The tar inside of a layer of that media type; `layer` outlives it. unsupported for another type; invalid_argument, when read,
// for compressed bytes that are broken.
Result<std::unique_ptr<Source>> uncompressed(Source& layer, std::string_view media_type);
// The same of a layer whose maker may say what they like: told by its first bytes.
Result<std::unique_ptr<Source>> uncompressed(Source& layer);

}  // namespace redoubt::image_layer
