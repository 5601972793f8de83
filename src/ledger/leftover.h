// SPDX-License-Identifier: Apache-2.0
//
// What a killed append leaves in a ledger's folder: partial files that were superseded but not yet removed, files of the
// next entry that no checkpoint counts, and temporary files. Nothing else may be there.
#pragma once

#include "ledger/anchor.h"

namespace redoubt::ledger {

// What a file below the ledger's folder is, for a ledger of that size.
enum class FileRole {
  current,     // belongs to the tree of this size (checkpoint and lock too)
  superseded,  // a partial tile or bundle that is a beginning of a current one
  next,        // one that an append of the next entry writes
  temporary,   // an unfinished write of a current or next file
  stray,
};
struct FileKind {
  FileRole role = FileRole::stray;
  bool is_bundle = false;
  TileName name;  // of a tile or bundle
};
FileKind kind_of_file(const std::string& path, std::uint64_t size);

// Removes superseded, next and temporary files. Call under the lock.
Status remove_leftovers(const LedgerOptions& options, const OpenedLedger& opened);

}  // namespace redoubt::ledger
