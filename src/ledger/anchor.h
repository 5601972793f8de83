// SPDX-License-Identifier: Apache-2.0
//
// How a ledger on disk is opened: its checkpoint, its tree, and the anchor that says how far it must at least reach.
#pragma once

#include "base/file.h"
#include "ledger/ledger.h"

namespace redoubt::ledger {

struct OpenedLedger {
  Checkpoint checkpoint;
  TileTree tree;
  Bytes bundle;  // the partial bundle of entries, checked; empty when the last one is full
};

// not_found without the ledger's folder; tampered when an anchor says that there was one.
Status check_folder(const LedgerOptions& options);
// Whoever holds this may look at files that a writer replaces.
Result<FileLock> lock_ledger(const LedgerOptions& options);

// The signed checkpoint in the folder. not_found when there is none and no anchor knows of one.
Result<Checkpoint> read_checkpoint(const LedgerOptions& options, const crypto::PublicKey& key);
// The checkpoint with its tree and newest entries, checked against each other. Call under the lock.
Result<OpenedLedger> open_tree(const LedgerOptions& options, Checkpoint checkpoint);
// tampered unless the tree is the one that the anchor knows, or a continuation of it. A missing anchor is fine only while
// the ledger is empty.
Status check_anchor(const LedgerOptions& options, const crypto::PublicKey& key, TileTree& tree);
Status write_anchor(const LedgerOptions& options, const Checkpoint& checkpoint);

}  // namespace redoubt::ledger
