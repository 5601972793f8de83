// SPDX-License-Identifier: Apache-2.0
//
// Tar archives (POSIX ustar and pax, GNU's long names), read strictly.
#pragma once

#include <functional>
#include <string>

#include "base/stream.h"

namespace redoubt::model_scan {

// Whether the bytes begin with a header of a tar archive, of the oldest kind too: its checksum decides.
bool is_tar(ByteView start);

struct TarMember {
  std::string name;
  std::uint64_t data = 0, bytes = 0;
  std::uint64_t header = 0;
  char type = '0';  // '0' a file, '5' a folder, '1' and '2' links
};

struct TarEnd {
  bool is_whole = false;   // ended by blocks of zeros, with nothing behind them
  std::string problem = {};
  std::uint64_t offset = 0;
};
// Calls `member` for each in order; errors are those of reading and of `member`.
Result<TarEnd> read_tar(const RandomAccess& file, const std::function<Status(const TarMember&)>& member);

}  // namespace redoubt::model_scan
