// SPDX-License-Identifier: Apache-2.0
//
// The path of an entry in an image's layer, as what unpacks it and what reads it must understand it alike.
#pragma once

#include <string>

#include "base/result.h"

namespace redoubt {

inline constexpr std::size_t kLayerPathBytesMax = 4000;

// Relative, without "." and doubled '/'; "" for the root itself. Every link and name of a layer is the image's own, so ".." is never meant
// well: invalid_argument for it, for a name of more than 255 bytes, for a path of more than kLayerPathBytesMax and for none (null).
Result<std::string> clean_layer_path(const char* path);

}  // namespace redoubt
