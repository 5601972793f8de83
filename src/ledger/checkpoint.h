// SPDX-License-Identifier: Apache-2.0
//
// C2SP checkpoints (https://c2sp.org/tlog-checkpoint): a ledger's signed tree head. Its note text is exactly three lines,
// origin, size and root; the key's name is the origin.
#pragma once

#include <string>
#include <string_view>

#include "ledger/merkle.h"
#include "ledger/note.h"

namespace redoubt::ledger {

struct Checkpoint {
  std::string origin;
  TreeHead head;
  std::string note;  // the signed note that says so, as read or written
};

std::string checkpoint_text(const std::string& origin, const TreeHead& head);
Checkpoint sign_checkpoint(const std::string& origin, const TreeHead& head, const crypto::SigningKey& key);

// Verified: the only signature is by `key`, whose name is the origin. Every failure is tampered.
Result<Checkpoint> open_checkpoint(std::string_view note, const NoteKey& key, std::string_view where);

}  // namespace redoubt::ledger
