// SPDX-License-Identifier: Apache-2.0
//
// Checks everything that a workspace holds, and goes on after a problem so that all are named.
#pragma once

#include "base/clock.h"
#include "base/problem.h"
#include "cli/session.h"

namespace redoubt::cli {

// What a service outside of the workspace did not let be looked at, one for all that it keeps. Nothing was found wrong with it, and
// nothing is known of it.
struct Unchecked {
  std::string kind;         // as of a Problem: "object", "image", "secret", "registry", "trail"
  Error why;                // of the first of them: what refused, and the cure
  std::uint64_t count = 1;  // how many things; the whole listing counts as one
};

// An entry that is dated before the one that it follows: the clock was set back in between. The order of the entries is the log's, whatever
// their dates, so nothing is wrong with it; but who reads the dates has to know.
struct ClockSetBack {
  std::uint64_t entry = 0;
  TimePoint finished{}, before{};  // of it and of the entry before it
};

struct AuditReport {
  std::uint64_t entries = 0;  // of the ledger
  std::uint64_t objects = 0;  // sealed objects that were looked at
  Digest root;
  Problems problems;
  std::vector<Unchecked> unchecked;
  std::vector<ClockSetBack> clock_set_back;

  bool ok() const { return problems.empty() && unchecked.empty(); }
  // Nothing where all is as it was recorded. Else tampered with the first problem, or the error of the first that could not be
  // checked, `refused` before its message ("deployment is refused"). No command waits for the trail, which is a copy for others, nor for
  // datasets whose own keys are elsewhere.
  Status sound(const std::string& refused) const;
};

// The ledger, every statement, the registry against the ledger, every sealed object, secret and note, the images, the
// identities, and whatever file belongs to none of them.
AuditReport audit_session(Session& session);
// Opens the workspace for it. A workspace that does not even open because it was changed is a report with that problem; an
// error only where nothing can be said (no workspace, wrong passphrase).
Result<AuditReport> audit_workspace(const GlobalOptions& options);

}  // namespace redoubt::cli
