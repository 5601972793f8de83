// SPDX-License-Identifier: Apache-2.0
//
// Reads from the kernel, from outside, whether a process that waits to run the image's program is confined as promised.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.h"

namespace redoubt::sandbox {

// What was found, one sentence each; unsupported with the first promise that doesn't hold.
Result<std::vector<std::string>> prove_confinement(pid_t process, unsigned host_user);

}  // namespace redoubt::sandbox
