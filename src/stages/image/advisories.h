// SPDX-License-Identifier: Apache-2.0
//
// What is known to be wrong with packages: a machine's own lists of Debian's security suite, and records in the OSV schema
// (https://ossf.github.io/osv-schema/). Each feed has an age; an unreadable, empty or stale one is an error, never "no findings".
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/json.h"

namespace redoubt::stages::image {

struct AdvisoryRange {
  std::string introduced, fixed, last_affected;  // "" where not given; introduced "0" is before every version
};

struct Advisory {
  std::string id, ecosystem, package;
  std::vector<AdvisoryRange> ranges;
  std::vector<std::string> versions;  // affected, listed one by one
  std::string severity;               // critical, high, medium, low
  double cvss = 0;                    // base score; 0 where no vector is given
};

inline constexpr const char* kAptFeed = "apt security suite";

struct Feed {
  std::string name;
  TimePoint dated{};  // when its makers published it
  std::uint64_t records = 0;
  // Whole days since then.
  std::int64_t age_days(TimePoint now) const { return std::chrono::floor<std::chrono::days>(now - dated).count(); }
};

struct Advisories {
  std::vector<Feed> feeds;
  std::multimap<std::string, Advisory> by_package;  // key: "<ecosystem>/<package>"; Debian by source package
  // Debian: the security suite's newest version of each binary package.
  std::map<std::string, std::string> suite_versions;
};

// Reads apt's lists (plain or compressed) of the security suite. not_found without one.
Status read_apt_security(const std::filesystem::path& lists, Advisories& into);
// Reads a folder or an archive (zip, tar, compressed) of OSV records in JSON or YAML. Withdrawn records are left out.
Status read_osv(const std::filesystem::path& path, Advisories& into);
// The key of `by_package`; Python's names are one however they are written (PEP 503).
std::string package_key(const std::string& ecosystem, std::string name);
// Whether a file among apt's lists is one of the security suite's.
bool is_security_list(const std::string& name);
// Refuses feeds older than that many days, or dated in the future.
Status check_age(const Advisories& advisories, int days_max, TimePoint now);

// CVSS 3.0 and 3.1 base score (first.org, section 7.1); nothing for another vector.
std::optional<double> cvss3_base_score(std::string_view vector);
// The qualitative scale of section 5: "none" below 0.1, low, medium from 4.0, high from 7.0, critical from 9.0.
std::string severity_of_score(double score);

}  // namespace redoubt::stages::image
