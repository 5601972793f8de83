// SPDX-License-Identifier: Apache-2.0
//
// A Notifier in memory, for tests: keeps what it was told, and fails as often as it is asked to.
#pragma once

#include <vector>

#include "provider/notifier.h"

namespace redoubt::provider::testing {

class FakeNotifier final : public Notifier {
 public:
  Result<std::function<Status()>> prepare(const std::string& subject, const Json& body) override {
    TRY(check_notification(subject, body));
    Json told = body;
    told["subject"] = subject;
    return [this, told = std::move(told)]() -> Status {
      if (failures_left > 0) return --failures_left, fail(ErrorCode::unavailable, "a failure that the test asked for");
      received.push_back(told);
      return {};
    };
  }
  std::vector<Json> received;
  int failures_left = 0;
};

}  // namespace redoubt::provider::testing
