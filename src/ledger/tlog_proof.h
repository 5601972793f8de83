// SPDX-License-Identifier: Apache-2.0
//
// C2SP tlog-proofs (https://c2sp.org/tlog-proof): a receipt that an entry stands in a ledger, which anybody checks offline
// with the entry, the ledger's origin and its public key.
#pragma once

#include <string>

#include "ledger/checkpoint.h"

namespace redoubt::ledger {

struct TlogProof {
  std::uint64_t index = 0;
  MerkleProof hashes;
  std::string checkpoint;  // the signed note

  bool operator==(const TlogProof&) const = default;
};

std::string to_text(const TlogProof& proof);
// The form only; strict, but an `extra` line is skipped, since it proves nothing.
Result<TlogProof> parse_tlog_proof(std::string_view text, std::string_view where);

// The tree head under which `entry` stands at the proof's index; tampered when the signature or the proof fails.
Result<TreeHead> verify_tlog_proof(const TlogProof& proof, ByteView entry, const NoteKey& key, std::string_view where);

}  // namespace redoubt::ledger
