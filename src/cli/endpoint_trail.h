// SPDX-License-Identifier: Apache-2.0
//
// Brings what the ledger has to the audit trail while an endpoint runs, on a thread of its own: a trail that is far away, or that a command
// tells at this moment, holds up neither alarms nor a rollback.
#pragma once

#include "base/background_task.h"
#include "cli/session.h"

namespace redoubt::cli {

class EndpointTrail {
 public:
  explicit EndpointTrail(Session& session) : session_(session) {}  // which outlives it

  // By the daemon's thread, at each of its looks: begins to tell unless that is under way, and logs why it went wrong the last time.
  void step();

 private:
  std::optional<Status> ask();

  Session& session_;
  BackgroundTask telling_;
};

}  // namespace redoubt::cli
