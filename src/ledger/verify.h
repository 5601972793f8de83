// SPDX-License-Identifier: Apache-2.0
//
// The whole ledger recomputed from its bytes. Every byte of every file in the folder counts: a changed, missing or added one
// is named. What a killed append left behind is no problem as long as it agrees with the ledger.
#pragma once

#include "base/problem.h"
#include "ledger/ledger.h"

namespace redoubt::ledger {

struct LedgerReport {
  std::uint64_t entries = 0;  // as the checkpoint says; 0 when there is no valid one
  Digest root;
  Problems problems;  // kinds: checkpoint, anchor, tile, entry, missing, stray, unreadable
};

// Takes the ledger's lock while it reads.
LedgerReport verify_ledger(const LedgerOptions& options, const crypto::PublicKey& key);

}  // namespace redoubt::ledger
