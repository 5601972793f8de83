// SPDX-License-Identifier: Apache-2.0
//
// What a process gives up before the image's program runs: capabilities, files, system calls, resources. Irreversible;
// called only in the sandbox's own processes.
#pragma once

#include <cstdint>

#include "base/result.h"

namespace redoubt::sandbox {

// No capability in any set, and no_new_privs, so that none comes back by exec.
Status drop_capabilities();
// Landlock: read and run anywhere, write below /opt/ml, /tmp and to /dev/null; no TCP, no signals or abstract sockets
// outward. Answers the ABI of the kernel's Landlock, 0 when it has none.
Result<int> restrict_files();
// The allow-list of system calls; all others fail with EPERM, a foreign architecture's end the process.
Status filter_system_calls();

struct ResourceLimits {
  std::uint64_t file_bytes_max = 0;
  std::uint64_t open_files_max = 0;
  std::uint64_t processes_max = 0;
  std::uint64_t data_bytes_max = 0;  // 0: a control group limits memory
};
Status limit_resources(const ResourceLimits& limits);

}  // namespace redoubt::sandbox
