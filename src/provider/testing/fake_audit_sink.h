// SPDX-License-Identifier: Apache-2.0
//
// An AuditSink in memory, for tests: keeps what it was told, and fails as often as it is asked to.
#pragma once

#include "provider/audit_sink.h"

namespace redoubt::provider::testing {

class FakeAuditSink final : public AuditSink {
 public:
  Result<std::uint64_t> next_index() override {
    TRY(fail_if_asked());
    return received.empty() ? 0 : received.back().index + 1;
  }
  Status append(const std::vector<AuditEntry>& entries) override {
    TRY(fail_if_asked());
    for (auto& entry : TRY(entries_to_append(entries, received.empty() ? 0 : received.back().index + 1))) received.push_back(std::move(entry));
    return {};
  }
  std::vector<AuditEntry> received;
  int failures_left = 0;

 private:
  Status fail_if_asked() {
    if (failures_left == 0) return {};
    --failures_left;
    return fail(ErrorCode::unavailable, "a failure that the test asked for");
  }
};

}  // namespace redoubt::provider::testing
