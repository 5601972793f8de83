// SPDX-License-Identifier: Apache-2.0
//
// Checks everything that a workspace holds, and goes on after a problem so that all are named.
#pragma once

#include "base/problem.h"
#include "cli/session.h"

namespace redoubt::cli {

struct AuditReport {
  std::uint64_t entries = 0;  // of the ledger
  std::uint64_t objects = 0;  // sealed objects read to their end
  Digest root;
  Problems problems;
};

// The ledger, every statement, the registry against the ledger, every sealed object, secret and note, the images, the
// identities, and whatever file belongs to none of them.
AuditReport audit_session(Session& session);
// Opens the workspace for it. A workspace that does not even open because it was changed is a report with that problem; an
// error only where nothing can be said (no workspace, wrong passphrase).
Result<AuditReport> audit_workspace(const GlobalOptions& options);

}  // namespace redoubt::cli
