// SPDX-License-Identifier: Apache-2.0
//
// Checks everything that a workspace holds, and goes on after a problem so that all are named.
#pragma once

#include "base/problem.h"
#include "base/progress.h"
#include "cli/session.h"

namespace redoubt::cli {

struct AuditReport {
  std::uint64_t entries = 0;  // of the ledger
  std::uint64_t objects = 0;  // sealed objects read to their end
  Digest root;
  Problems problems;
};

// An error only where the workspace can't be opened at all (wrong passphrase, no workspace).
Result<AuditReport> audit_workspace(const GlobalOptions& options, Progress& progress);

}  // namespace redoubt::cli
