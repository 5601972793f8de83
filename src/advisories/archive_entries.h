// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "base/result.h"

namespace redoubt::advisories {

// Calls `visit` for each regular file of a tar, however compressed. invalid_argument for what can't be read to its end, limit_exceeded for a
// file of more than `bytes_max`.
Status for_each_tar_entry(const std::filesystem::path& path, std::size_t bytes_max, const std::function<Status(const std::string&, std::string)>& visit);
// A plain or compressed file.
Result<std::string> read_compressed(const std::filesystem::path& path, std::size_t bytes_max);

}  // namespace redoubt::advisories
