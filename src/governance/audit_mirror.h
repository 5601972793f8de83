// SPDX-License-Identifier: Apache-2.0
//
// Brings the ledger's entries to the firm's monitoring, from where the sink says it stands. Only what the ledger verifies is
// told, and only what no person wrote freely: names, numbers, digests and decisions.
#pragma once

#include "ledger/evidence.h"
#include "provider/audit_sink.h"

namespace redoubt::governance {

// Answers how many entries were brought. tampered when the sink holds more than the ledger: the ledger was cut off, or the
// sink's trail is another one's.
Result<std::uint64_t> mirror_audit(ledger::EvidenceLog& evidence, const std::string& origin, provider::AuditSink& sink);

// An entry as the sink gets it.
provider::AuditEntry audit_entry(const std::string& origin, std::uint64_t index, const Digest& statement, const attest::StepRecord& record);

}  // namespace redoubt::governance
