// SPDX-License-Identifier: Apache-2.0
//
// The vulnerability scan: packages against what the feeds know.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "advisories/database.h"
#include "base/clock.h"
#include "packages/image_reader.h"
#include "provider/image_findings.h"

namespace redoubt::advisories {

// A finding that somebody looked at and lets pass until a day.
struct AcceptedFinding {
  std::string id, package, reason;  // the package's name, its source's, or "" for any
  TimePoint expires{};
  std::string purl = {};    // package URL, with or without a version; "" for any
  std::string origin = {};  // the document that says so; "" for the configuration

  static Result<std::vector<AcceptedFinding>> from_json(const Json& list);
};

struct Finding {
  std::string id, package, installed, fixed, severity;
  std::string source, source_version;  // what `fixed` is a version of; "" where it is the package itself
  double cvss = 0;
  bool accepted = false;
  std::string vector = {};             // of `cvss`
  std::vector<std::string> aliases = {};
  std::string ecosystem = {}, purl = {};
  std::vector<std::string> places = {};
  std::optional<double> epss = {}, epss_percentile = {};  // how likely it is to be exploited within 30 days
  std::string exploited_since = {};                       // KEV: the day it was added; "" where it is not known to be
  bool ransomware = false;
  std::string accepted_reason = {}, accepted_until = {}, accepted_by = {};
  std::vector<std::string> upstream = {};                 // what an advisory about several flaws names
};

// What blocks beside an open critical or high finding.
struct ScanPolicy {
  bool block_exploited = true;   // an open finding that KEV lists
  double epss_block = 0;         // an open finding with at least this EPSS score; 0: none
  bool block_uncovered = false;  // packages of an ecosystem that no feed knows, and records that could not be read
};

// Whether an open finding blocks: critical or high, or as the policy says.
bool blocks(const Finding& finding, const ScanPolicy& policy);

struct ScanReport {
  std::vector<packages::Package> packages;
  std::vector<Finding> findings;  // the most severe first
  std::vector<Feed> feeds;
  TimePoint scanned{};
  bool blocked = false;
  std::vector<std::string> uncovered;    // ecosystems of packages that no feed knows
  std::vector<std::string> unversioned;  // packages whose version is not known, which nothing can be said of
  std::vector<packages::PackageProblem> problems;

  std::map<std::string, int> open_by_severity() const;
  int open_exploited() const;    // open findings that KEV lists
  double open_epss_max() const;  // the highest EPSS score of an open finding; 0 where none has one
  // What was accepted and by whom: {id, package, purl, severity, reason, until, by} of each.
  Json accepted() const;
  Json to_json() const;
};

Result<ScanReport> scan_packages(std::vector<packages::Package> packages, const AdvisorySet& advisories, const std::vector<AcceptedFinding>& accepted, TimePoint now,
                                 const ScanPolicy& policy = {});
// The same, with what could not be read.
Result<ScanReport> scan_inventory(packages::Inventory inventory, const AdvisorySet& advisories, const std::vector<AcceptedFinding>& accepted, TimePoint now, const ScanPolicy& policy);

// Adds what another scanner found, as far as ours did not; its severity counts like ours.
void add_findings(ScanReport& report, const std::vector<provider::ImageFinding>& others, const std::vector<AcceptedFinding>& accepted, const ScanPolicy& policy = {});

}  // namespace redoubt::advisories
