// SPDX-License-Identifier: Apache-2.0
//
// Zip files, read strictly: what two readers could read in two ways is a problem. The members lie end to end from the first byte to the
// directory, the directory ends where its end record begins, that record ends the file, and each member's own header says what the
// directory says. Zip64 is understood.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/stream.h"

namespace redoubt::model_scan {

struct ZipMember {
  std::string name;
  std::uint16_t flags = 0, method = 0;
  std::uint32_t crc32 = 0;
  std::uint64_t compressed = 0, bytes = 0;
  std::uint64_t header = 0, data = 0;  // where they begin in the file
  bool is_link = false;
  bool is_folder() const { return name.ends_with('/'); }
};
inline constexpr std::uint16_t kZipStored = 0, kZipDeflated = 8;

struct ZipProblem {
  std::string rule, severity, detail, member;
  std::uint64_t offset = 0;
};

// Where the end record stands, if the file has a directory that a zip reader would find, whatever stands before or behind it.
Result<std::optional<std::uint64_t>> find_zip_end(const RandomAccess& file);

// The members that could be read, in the order of their bytes, each with its data within the file. Errors are those of reading.
Result<std::vector<ZipMember>> read_zip(const RandomAccess& file, const std::function<void(ZipProblem)>& found);

}  // namespace redoubt::model_scan
