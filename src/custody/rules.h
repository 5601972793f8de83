// SPDX-License-Identifier: Apache-2.0
//
// The vault's block of policy.yaml: how long what is kept, where copies go, who may delete. Pure decisions over what the ledger
// says; nothing is moved or removed here.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "custody/view.h"

namespace redoubt::custody {

using Seconds = std::chrono::seconds;

// The first rule that fits a version decides, and no other.
struct Rule {
  std::string name = "*";  // a glob over names: '*' stands for any characters, '/' too
  std::string kind = "*";
  std::optional<Seconds> keep_at_least, expire_after, archive_after;

  bool fits(const NamedVersion& version) const;
};

enum class SecondFactor { person, totp, either };
enum class Rotation { warn, automatic };

struct Rules {
  std::vector<Rule> rules;
  SecondFactor deletion = SecondFactor::either;
  Seconds request_lasts{72 * 3600};
  std::string archive, replica;  // URIs of stores; empty: none
  bool replicate_on_write = false;
  int rotate_after_days = 90;
  Rotation rotation = Rotation::warn;

  // Of a policy that was checked against its schema. invalid_argument names the rule and the field.
  static Result<Rules> from_json(const Json& policy);
  // Those that the ledger tells of; the defaults where none were set.
  static Result<Rules> of(const View& view);
  const Rule* rule_of(const NamedVersion& version) const;  // null: none fits
};

// "90d", "12h", "30m" or "45s".
Result<Seconds> parse_duration(std::string_view text, const std::string& where);
std::string duration_text(Seconds duration);

// Why a version may not be deleted yet, with the time from which it may; empty when it may.
std::string kept_by_rule(const Rules& rules, const NamedVersion& version, TimePoint now);

struct LifecycleStep {
  enum class Action { expire, archive, keep };
  Action action = Action::keep;
  NamedVersion version;
  std::string why;  // the rule, or what stands against it
};
const char* to_string(LifecycleStep::Action action);

// What the rules ask for now, of all kept versions and of what nobody named, oldest versions first; versions that no rule moves are left out. `needed` says what needs an artifact,
// empty when nothing does. unavailable when the clock shows an earlier time than the ledger's newest entry.
Result<std::vector<LifecycleStep>> plan_lifecycle(const View& view, const std::vector<NamedVersion>& unnamed, const Rules& rules, TimePoint now, const std::function<std::string(const NamedVersion&)>& needed);

// unavailable when time ran backwards: nothing that counts time may be decided then.
Status check_clock(const View& view, TimePoint now);

}  // namespace redoubt::custody
