// SPDX-License-Identifier: Apache-2.0
//
// Sealed files that change and must not go back in time: secrets and the endpoint's keys. An older one is as authentic as the
// newest, so the ledger, whose head is anchored outside of the workspace, says which is the newest: the event that tells of
// a change carries the digest of every file it wrote (`state`). Before a file is written, what it will be is noted in
// `state/intent`; until the event is there, the old and the new file are both right, and no other.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/problem.h"
#include "governance/workspace.h"
#include "ledger/evidence.h"

namespace redoubt::governance {

class StateChange {
 public:
  // Waits for another process's change. From now on every write of a sealed file through this workspace is part of it. What a
  // killed process left is taken over. Both must outlive it.
  static Result<std::unique_ptr<StateChange>> begin(Workspace& workspace, ledger::EvidenceLog& evidence);
  ~StateChange();
  // Files that a killed process wrote and no event tells of yet; an event with them comes before any other write.
  bool has_leftovers() const { return !files_.empty(); }
  // The event's result with the digests of what was written.
  Json with_state(Json result) const;
  // After the event was appended.
  Status done();

 private:
  StateChange(Workspace& workspace, FileLock lock, std::uint64_t size) : workspace_(workspace), lock_(std::move(lock)), size_(size) {}
  Status note(const std::filesystem::path& path, ByteView sealed);
  Status take_over(ledger::EvidenceLog& evidence);

  Workspace& workspace_;
  FileLock lock_;
  std::uint64_t size_;                        // of the ledger when it began
  std::map<std::string, std::string> files_;  // path to digest; "" is removed
};

// Files whose contents are not those that the ledger recorded last ("state", "secrets/...", why), and a keyring with fewer
// versions than the ledger has seen.
Result<Problems> check_state(Workspace& workspace, ledger::EvidenceLog& evidence);

}  // namespace redoubt::governance
