// SPDX-License-Identifier: Apache-2.0
//
// Where the firm's own monitoring reads what happened: one event a ledger entry, in OCSF's words (docs/formats/audit-events.md).
// The ledger stays the authority. Guarantee: at least once and in order: what `append` answered for is durable at the sink, an
// event repeats only together with all that came after it, and a kill loses nothing, since the sink itself says where to go on.
// One writer at a time; the caller sees to that.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/json.h"

namespace redoubt::provider {

// One ledger entry as others may read it: no personal data, no secret, no free text.
struct AuditEntry {
  std::uint64_t index = 0;  // in the ledger
  TimePoint time{};         // when the step ended
  std::string origin;       // which ledger: "redoubt.local/<workspace id>"
  std::string step;         // "train", "review", "secret", ...
  std::string identity;     // whose key signed
  std::string statement;    // "sha256:...", how to find it in the ledger
  Json summary = Json::object();  // of the result

  bool operator==(const AuditEntry&) const = default;
};

class AuditSink {
 public:
  virtual ~AuditSink() = default;
  // The index after the newest entry that is there; 0 in an empty sink. tampered when what is there is no trail of that ledger.
  virtual Result<std::uint64_t> next_index() = 0;
  // Entries with consecutive indices; those below `next_index` are left out. invalid_argument when they would leave a gap,
  // limit_exceeded for an entry that is too large. After unavailable some of them may be there: `next_index` tells.
  virtual Status append(const std::vector<AuditEntry>& entries) = 0;
};

constexpr std::size_t kAuditEventBytesMax = 128 << 10;

// An entry as an OCSF event (class 6002), and back. to_event is what every sink writes, as one line of compact JSON.
Json to_event(const AuditEntry& entry);
// invalid_argument for anything that to_event did not make.
Result<AuditEntry> parse_event(std::string_view line, std::string_view where);

// The entries from `next` on, when they leave no gap and each fits.
Result<std::vector<AuditEntry>> entries_to_append(const std::vector<AuditEntry>& entries, std::uint64_t next);

}  // namespace redoubt::provider
