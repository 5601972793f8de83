// SPDX-License-Identifier: Apache-2.0
//
// What a job in SageMaker gives back: tar archives, gzipped, of a folder that the job wrote, so nothing in them is trusted.
#pragma once

#include <vector>

#include "base/stream.h"
#include "provider/job_runner.h"

namespace redoubt::provider::aws {

struct ArchiveLimits {
  std::uint64_t bytes_max = 4ull << 30;  // of all files, unpacked
  std::size_t files_max = 20'000;
};

// Unpacks into memory that no other process can open; the files stay readable as long as any copy of them. A link, a special
// file, a path that leaves the folder or stands twice is permission_denied; more than the limits limit_exceeded; what is no
// such archive, or ends early, tampered.
Result<std::vector<JobFile>> unpack_archive(Source& archive, std::string_view where, const ArchiveLimits& limits = {});

}  // namespace redoubt::provider::aws
