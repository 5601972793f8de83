// SPDX-License-Identifier: Apache-2.0
//
// The alarms of one environment and who hears of them: each look brings what changed to the ledger, the incidents and whoever is
// notified, at least once each, whatever is killed in between.
#pragma once

#include <memory>
#include <optional>

#include "base/background_task.h"
#include "cli/session.h"
#include "pipeline/config.h"
#include "stages/watch/alarms.h"
#include "stages/watch/delivery.h"

namespace redoubt::cli {

inline constexpr const char* kNoEndpoint = "account";  // where alarms and incidents are that belong to no endpoint

// Threads of an endpoint's process, which waits for neither: one tells those who are notified, one asks for alarms that are elsewhere.
struct WatchThreads {
  BackgroundTask telling, asking;
};

// A failure of watching is logged and never ends it.
void log_watch_problem(const char* doing, const Error& error);

class AlarmReports {
 public:
  // `watch` as the deploy statement has it; `rules` are all that are asked. Goes on where the last process ended. With `threads`, neither who
  // is notified nor alarms that are elsewhere keep anybody waiting.
  static Result<std::unique_ptr<AlarmReports>> create(Session& session, std::string environment, const pipeline::WatchOptions& watch, std::vector<provider::AlarmRule> rules,
                                                      WatchThreads* threads = nullptr);

  // Puts the values, reads the states and keeps what is to be told of them. An error leaves the states as they were told last. With
  // `threads`, alarms elsewhere are asked, and their states are taken at the first call after they have answered: until then an answer is
  // awaited. Values that come meanwhile are put after that, of each the newest.
  Status evaluate(const stages::watch::Measurements& values);
  bool awaits_answer() const { return awaits_answer_; }
  // Tells of what changed. What could not be told of is logged and tried again at the next call; what is still being told, by `telling`, is
  // asked for again there.
  void tell();
  // Both.
  Status look(const stages::watch::Measurements& values);
  // As it was evaluated last; null before.
  const stages::watch::Alarm* find(std::string_view alarm) const { return stages::watch::find_alarm(told_, alarm); }

 private:
  struct Look;
  AlarmReports(Session& session, std::string environment, WatchThreads* threads) : session_(session), environment_(std::move(environment)), threads_(threads) {}
  Status notify(const Json& change);
  Status look_elsewhere(const stages::watch::Measurements& values);
  std::optional<Status> ask();
  void take_states();
  void announce(const stages::watch::AlarmChange& change);
  void keep();

  Session& session_;
  std::string environment_;
  std::shared_ptr<Look> look_;              // while alarms elsewhere are being asked, of the thread that asks
  std::string look_id_;                     // tells these reports' looks from those of reports before them
  bool awaits_answer_ = false;
  stages::watch::Measurements waiting_;     // until it has come
  std::vector<stages::watch::Alarm> told_;  // what somebody heard of, or is about to
  stages::watch::Deliveries deliveries_;
  std::unique_ptr<provider::Notifier> notifier_;  // null: nobody is notified
  WatchThreads* threads_;                         // null: told and asked at once
  std::string saved_;                             // the alarms and deliveries as last written
};

// The alarms and incidents that an environment's watch has kept; empty lists before the first.
Result<Json> saved_alarms(Session& session, const std::string& environment);
Result<Json> saved_incidents(Session& session, const std::string& environment);

}  // namespace redoubt::cli
