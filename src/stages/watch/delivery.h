// SPDX-License-Identifier: Apache-2.0
//
// Brings each change of an alarm to the ledger, to the incidents and to whoever is notified, at least once each and in this
// order. What fails is tried again at the next look; a change never overtakes an earlier one on its way.
#pragma once

#include <deque>
#include <functional>

#include "base/json.h"

namespace redoubt::stages::watch {

// Each gets the change, which names itself by "id": whoever is told twice can see that it is the same.
struct DeliverySteps {
  std::function<Status(const Json& change)> record, incident, notify;
  std::function<void()> progressed = [] {};  // after each step that was done: the time to keep `to_json` durably
};

class Deliveries {
 public:
  static constexpr std::size_t kPendingMax = 1000;

  // Not while it is full, so that nothing that was added is ever dropped.
  void add(Json change) { pending_.push_back({std::move(change), 0}); }
  bool full() const { return pending_.size() >= kPendingMax; }
  std::size_t pending() const { return pending_.size(); }

  // One try of everything that waits. The first error of each step holds what comes after it; answers the first of all.
  Status deliver(const DeliverySteps& steps);

  Json to_json() const;
  Status restore(const Json& saved);

 private:
  struct Pending {
    Json change;
    int done;  // steps of it
  };
  std::deque<Pending> pending_;
};

// Opens an incident for a change into ALARM or undecided, closes its alarm's at OK; an alarm has one open incident at most.
// The same change twice is one. `incidents` is a list of {id, alarm, alarm_state, state, opened, closed, value, limit}.
Status apply_to_incidents(Json& incidents, const Json& change);

}  // namespace redoubt::stages::watch
