// SPDX-License-Identifier: Apache-2.0
//
// The vulnerability scan: the packages of an image against what the feeds know.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "provider/image_findings.h"
#include "stages/image/advisories.h"
#include "stages/image/packages.h"

namespace redoubt::stages::image {

// A finding that somebody looked at and lets pass until a day.
struct AcceptedFinding {
  std::string id, package, reason;
  TimePoint expires{};

  static Result<std::vector<AcceptedFinding>> from_json(const Json& list);
};

struct Finding {
  std::string id, package, installed, fixed, severity;
  std::string source, source_version;  // what `fixed` is a version of; "" where it is the package itself
  double cvss = 0;
  bool accepted = false;
};

struct ScanReport {
  std::vector<Package> packages;
  std::vector<Finding> findings;  // the most severe first
  std::vector<Feed> feeds;
  TimePoint scanned{};
  bool blocked = false;  // an open critical or high finding

  std::map<std::string, int> open_by_severity() const;
  Json to_json() const;
};

ScanReport scan_packages(std::vector<Package> packages, const Advisories& advisories, const std::vector<AcceptedFinding>& accepted, TimePoint now);

// Adds what another scanner found, as far as ours did not; its severity counts like ours.
void add_findings(ScanReport& report, const std::vector<provider::ImageFinding>& others, const std::vector<AcceptedFinding>& accepted);

// Nothing for a version that is not affected, in its ecosystem's order; else the version that fixes it, "" where none is known.
std::optional<std::string> affected_until(const Advisory& advisory, const std::string& installed);

}  // namespace redoubt::stages::image
