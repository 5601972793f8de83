// SPDX-License-Identifier: Apache-2.0
//
// How old the keys that wrap data keys are, against the vault's policy (keys.rotate_after_days), and their rotation.
#pragma once

#include "cli/session.h"

namespace redoubt::cli {

struct KeyAge {
  std::string key;  // its URI
  std::int64_t version = 1;
  TimePoint rotated{};  // or made
  int days = 0, days_max = 90;
  custody::Rotation rotation = custody::Rotation::warn;

  bool overdue() const { return days >= days_max; }
  Json to_json() const;
  std::string text() const;
};

// As the ledger tells; unavailable when the clock shows an earlier time than its newest entry.
Result<KeyAge> key_age(Session& session);

struct RotatedKeys {
  std::string key;
  std::size_t version = 0, own_keys = 0;
  std::uint64_t files = 0, rewrapped = 0;
  bool resumed = false;  // an interrupted rotation was finished
};
// A new version of every key kept here and every data key wrapped under it anew, in the archive too. Under the workspace's lock.
Result<RotatedKeys> rotate_keys(Session& session, Progress& progress);

// Raises or ends the alarm KeyRotationOverdue among those that belong to no endpoint. Under the workspace's lock.
Status tell_key_alarm(Session& session, const KeyAge& age);

}  // namespace redoubt::cli
