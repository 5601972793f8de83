// SPDX-License-Identifier: Apache-2.0
//
// The alarms of one environment and who hears of them: each look brings what changed to the ledger, the incidents and whoever is
// notified, at least once each, whatever is killed in between.
#pragma once

#include <memory>

#include "cli/session.h"
#include "pipeline/config.h"
#include "stages/watch/alarms.h"
#include "stages/watch/delivery.h"
#include "stages/watch/telling.h"

namespace redoubt::cli {

inline constexpr const char* kNoEndpoint = "account";  // where alarms and incidents are that belong to no endpoint

// A failure of watching is logged and never ends it.
void log_watch_problem(const char* doing, const Error& error);

class AlarmReports {
 public:
  // `watch` as the deploy statement has it; `rules` are all that are asked. Goes on where the last process ended. With `telling`, whoever is
  // notified keeps nobody waiting.
  static Result<std::unique_ptr<AlarmReports>> create(Session& session, std::string environment, const pipeline::WatchOptions& watch, std::vector<provider::AlarmRule> rules,
                                                      stages::watch::Telling* telling = nullptr);

  // Puts the values, reads the states and keeps what is to be told of them. An error leaves the states as they were told last.
  Status evaluate(const stages::watch::Measurements& values);
  // Tells of what changed. What could not be told of is logged and tried again at the next call; what is still being told, by `telling`, is
  // asked for again there.
  void tell();
  // Both.
  Status look(const stages::watch::Measurements& values);
  // As it was evaluated last; null before.
  const stages::watch::Alarm* find(std::string_view alarm) const { return stages::watch::find_alarm(told_, alarm); }

 private:
  AlarmReports(Session& session, std::string environment, std::vector<provider::AlarmRule> rules, stages::watch::Telling* telling)
      : session_(session), environment_(std::move(environment)), rules_(std::move(rules)), telling_(telling) {}
  Status notify(const Json& change);
  Status read_states(const stages::watch::Measurements& values);
  void announce(const stages::watch::AlarmChange& change);
  void keep();

  Session& session_;
  std::string environment_;
  std::vector<provider::AlarmRule> rules_;
  std::unique_ptr<provider::Alarms> alarms_;
  bool is_defined_ = false;
  std::vector<stages::watch::Alarm> told_;  // what somebody heard of, or is about to
  stages::watch::Deliveries deliveries_;
  std::unique_ptr<provider::Notifier> notifier_;  // null: nobody is notified
  stages::watch::Telling* telling_;               // null: told at once
  std::string saved_;                             // the alarms and deliveries as last written
};

// The alarms and incidents that an environment's watch has kept; empty lists before the first.
Result<Json> saved_alarms(Session& session, const std::string& environment);
Result<Json> saved_incidents(Session& session, const std::string& environment);

}  // namespace redoubt::cli
