// SPDX-License-Identifier: Apache-2.0
//
// The endpoint's own process: serves what the newest deploy statement of its environment says, captures, watches, and follows
// a new statement when it is told (SIGHUP). Ends on SIGTERM once the requests under way are answered.
#pragma once

#include "cli/command.h"

namespace redoubt::cli {

// Runs until it is told to end; answers the exit status.
Result<int> run_endpoint(const GlobalOptions& options, const std::string& environment);

}  // namespace redoubt::cli
