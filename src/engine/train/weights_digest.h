// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include "base/result.h"

namespace redoubt::engine::train {

// Hexadecimal SHA-256 over every tensor of a model's folder: name, type, shape and bytes, in whatever files they are. Takes as long as to
// read them, by all threads. An error of a folder without weights that can be read.
Result<std::string> digest_of_weights(const std::filesystem::path& folder);

}  // namespace redoubt::engine::train
