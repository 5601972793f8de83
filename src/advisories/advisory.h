// SPDX-License-Identifier: Apache-2.0
//
// What is known to be wrong with versions of a package, as a feed says it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "packages/package.h"

namespace redoubt::advisories {

struct AdvisoryRange {
  std::string introduced, fixed, last_affected;  // "" where not given; introduced "0" is before every version
  bool operator==(const AdvisoryRange&) const = default;
};

struct Advisory {
  std::string id, ecosystem, package;
  std::vector<AdvisoryRange> ranges;
  std::vector<std::string> versions = {};  // affected, listed one by one
  std::string severity = {};               // critical, high, medium, low
  double cvss = 0;                         // score; 0 where no vector is given
  std::string vector = {};                 // that it is computed from
  std::vector<std::string> aliases = {};   // other names of the same thing
  std::vector<std::string> upstream = {};  // the several flaws that a distribution's advisory is about
  bool operator==(const Advisory&) const = default;
};

// Nothing for a version that is not affected, in its ecosystem's order; else the version that fixes it, "" where none is known.
std::optional<std::string> affected_until(const Advisory& advisory, const std::string& installed);

// Ranges out of events, which count in the order of their versions (https://ossf.github.io/osv-schema/#evaluation).
struct RangeEvent {
  enum Kind { introduced, fixed, last_affected, limit } kind;
  std::string version;
};
void add_ranges(std::vector<RangeEvent> events, Advisory& advisory);

// The key of a package in a feed: "<ecosystem>/<name>". Python's names are one however they are written (PEP 503), Red Hat's product streams
// one a release, and SUSE's products, whose packages are those of the modules.
std::string package_key(const std::string& ecosystem, const std::string& name);
std::string ecosystem_key(const std::string& ecosystem);

inline constexpr const char* kAptFeed = "apt security suite";

struct Feed {
  std::string name;
  TimePoint dated{};  // when its makers published it
  std::uint64_t records = 0;
  std::vector<std::string> ecosystems = {};  // that it knows of, by ecosystem_key; "Debian" stands for all of Debian's
  // Whole days since then.
  std::int64_t age_days(TimePoint now) const { return std::chrono::floor<std::chrono::days>(now - dated).count(); }
  bool covers(const std::string& ecosystem) const;
};

// Refuses feeds older than that many days, or dated in the future; not_found without any.
Status check_age(const std::vector<Feed>& feeds, int days_max, TimePoint now);

}  // namespace redoubt::advisories
