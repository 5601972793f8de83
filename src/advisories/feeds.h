// SPDX-License-Identifier: Apache-2.0
//
// Feeds as others publish them, read from files: OSV records, apt's lists of Debian's security suite, Debian's security tracker, EPSS, KEV.
// An unreadable or empty one is an error, never "no findings".
#pragma once

#include <filesystem>
#include <string>

#include "advisories/feed_index.h"

namespace redoubt::advisories {

struct ReadFeed {
  Feed feed;
  FeedIndexWriter index;
};

// A folder, a zip (read by several threads) or a tar of OSV records in JSON or YAML. Withdrawn records are left out.
Result<ReadFeed> read_osv(const std::filesystem::path& path, const std::string& name = {});
// apt's lists (plain or compressed) of the security suite: entries "apt:Debian:12/<binary package>" with its newest version. not_found
// without one.
Result<ReadFeed> read_apt_security(const std::filesystem::path& lists);
// https://security-tracker.debian.org/tracker/data/json. The file has no date of its own.
Result<ReadFeed> read_debian_tracker(const std::filesystem::path& file, TimePoint dated);
// EPSS' CSV, plain or gzip (https://www.first.org/epss/data_stats): entries "EPSS/<CVE>" with "<score> <percentile>".
Result<ReadFeed> read_epss(const std::filesystem::path& file);
// CISA's known_exploited_vulnerabilities.json: entries "KEV/<CVE>" with the day it was added, and "ransomware" where it is known to be used so.
Result<ReadFeed> read_kev(const std::filesystem::path& file);

// Whether a file among apt's lists is one of the security suite's.
bool is_security_list(const std::string& name);
// "Debian:12" of "bookworm-security"; "Debian" where the name is not known.
std::string ecosystem_of_suite(const std::string& suite);

inline constexpr const char* kTrackerFeed = "Debian security tracker";
inline constexpr const char* kEpssFeed = "EPSS";
inline constexpr const char* kKevFeed = "KEV";
inline constexpr const char* kAptPrefix = "apt:";

}  // namespace redoubt::advisories
