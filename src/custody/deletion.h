// SPDX-License-Identifier: Apache-2.0
//
// Deleting versions: what stands against it, the second factor it needs, and the removal itself. The ledger says first what goes, so
// that the audit knows what is gone by right.
#pragma once

#include <optional>

#include "crypto/totp.h"
#include "custody/stores.h"

namespace redoubt::custody {

// gate_refused, naming the hold, the rule or the release that stands against it.
Status may_delete(const View& view, const Rules& rules, const Needs& needs, const std::vector<NamedVersion>& versions, TimePoint now);

struct Deleted {
  std::uint64_t versions = 0, objects = 0;
  std::uint64_t shared = 0;  // files that stay because others name them
};
// Removes what nobody else needs; `about` goes into the ledger with it (reason, request, code's counter). The cause is "delete" or
// "expire".
Result<Deleted> delete_versions(const Stores& stores, const View& view, const Needs& needs, const std::vector<NamedVersion>& versions, const std::string& cause, const Json& about);

// Deletion by code: the counter to record with the deletion, which uses it up. permission_denied for a wrong or a used code, for one
// who has not enrolled, and after five wrong codes within ten minutes; `recount` is whether the ledger should count this one as wrong.
struct CodeVerdict {
  std::optional<std::uint64_t> counter;
  bool recount = false;
  Error refused;
};
CodeVerdict judge_code(const View& view, const std::string& identity, const Secret& secret, std::string_view code, TimePoint now);
// Before the secret is even looked at: permission_denied while too many wrong codes were given.
Status check_attempts(const View& view, const std::string& identity, TimePoint now);

// A request that somebody else may approve now: permission_denied for who made it, gate_refused for one that is decided or expired.
Result<Request> request_to_decide(const View& view, const std::string& id, const std::string& identity, TimePoint now);

}  // namespace redoubt::custody
