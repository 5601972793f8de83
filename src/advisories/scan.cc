// SPDX-License-Identifier: Apache-2.0
#include "advisories/scan.h"

#include <algorithm>
#include <set>

#include "advisories/matching.h"

namespace redoubt::advisories {
namespace {

using detail::rank;

bool accepts(const AcceptedFinding& each, const Finding& finding) {
  const bool same_id = each.id == finding.id || std::find(finding.aliases.begin(), finding.aliases.end(), each.id) != finding.aliases.end();
  const bool same_package = each.package.empty() || each.package == finding.package || (!finding.source.empty() && each.package == finding.source);
  return same_id && same_package && (each.purl.empty() || detail::purl_matches(each.purl, finding.purl));
}

void judge(ScanReport& report, const std::vector<AcceptedFinding>& accepted, const ScanPolicy& policy) {
  for (auto& finding : report.findings) {
    finding.accepted = false;
    for (const auto& each : accepted) {
      if (finding.accepted || report.scanned >= each.expires || !accepts(each, finding)) continue;
      finding.accepted = true;
      finding.accepted_reason = each.reason;
      finding.accepted_until = to_rfc3339(each.expires);
      finding.accepted_by = each.origin;
    }
    report.blocked = report.blocked || blocks(finding, policy);
  }
  std::stable_sort(report.findings.begin(), report.findings.end(), [](const Finding& a, const Finding& b) {
    return rank(a.severity) != rank(b.severity) ? rank(a.severity) > rank(b.severity) : a.exploited_since.empty() != b.exploited_since.empty() ? b.exploited_since.empty() : a.cvss > b.cvss;
  });
}

Json to_json(const Finding& f) {
  return {{"id", f.id}, {"package", f.package}, {"installed", f.installed}, {"fixed", f.fixed}, {"severity", f.severity}, {"cvss", f.cvss > 0 ? Json(f.cvss) : Json(nullptr)},
          {"accepted", f.accepted}, {"source", f.source}, {"source_version", f.source_version}, {"vector", f.vector}, {"aliases", f.aliases}, {"upstream", f.upstream}, {"ecosystem", f.ecosystem}, {"purl", f.purl},
          {"places", f.places}, {"epss", f.epss ? Json(*f.epss) : Json(nullptr)}, {"epss_percentile", f.epss_percentile ? Json(*f.epss_percentile) : Json(nullptr)},
          {"exploited", !f.exploited_since.empty()}, {"exploited_since", f.exploited_since}, {"ransomware", f.ransomware},
          {"accepted_reason", f.accepted_reason}, {"accepted_until", f.accepted_until}, {"accepted_by", f.accepted_by}};
}

}  // namespace

bool blocks(const Finding& finding, const ScanPolicy& policy) {
  if (finding.accepted) return false;
  if (rank(finding.severity) >= 3) return true;
  return (policy.block_exploited && !finding.exploited_since.empty()) || (policy.epss_block > 0 && finding.epss.value_or(0) >= policy.epss_block);
}

Result<std::vector<AcceptedFinding>> AcceptedFinding::from_json(const Json& list) {
  std::vector<AcceptedFinding> accepted;
  for (const auto& item : list) {
    AcceptedFinding finding;
    finding.id = TRY(json_string(item, "id", "accepted_findings"));
    finding.package = TRY(json_string(item, "package", "accepted_findings"));
    finding.reason = TRY(json_string(item, "reason", "accepted_findings"));
    finding.expires = TRY(parse_rfc3339(TRY(json_string(item, "expires", "accepted_findings"))));
    accepted.push_back(std::move(finding));
  }
  return accepted;
}

Result<ScanReport> scan_packages(std::vector<packages::Package> packages, const AdvisorySet& advisories, const std::vector<AcceptedFinding>& accepted, TimePoint now, const ScanPolicy& policy) {
  return scan_inventory({std::move(packages), {}}, advisories, accepted, now, policy);
}

Result<ScanReport> scan_inventory(packages::Inventory inventory, const AdvisorySet& advisories, const std::vector<AcceptedFinding>& accepted, TimePoint now, const ScanPolicy& policy) {
  ScanReport report;
  report.feeds = advisories.feeds();
  report.scanned = now;
  std::set<std::string> uncovered;
  for (const auto& package : inventory.packages) {
    if (package.ecosystem.empty()) continue;  // of no ecosystem: the engine itself, a crate from a folder
    if (!package.owner.empty()) continue;     // its owner is looked up
    if (!advisories.covers(package.ecosystem)) uncovered.insert(package.ecosystem);
    if (package.version.empty()) {
      report.unversioned.push_back(packages::purl_of(package));
      continue;
    }
    for (auto& finding : TRY(detail::findings_of(package, advisories))) report.findings.push_back(std::move(finding));
  }
  report.uncovered.assign(uncovered.begin(), uncovered.end());
  report.packages = std::move(inventory.packages);
  report.problems = std::move(inventory.problems);
  report.blocked = policy.block_uncovered && (!report.uncovered.empty() || !report.problems.empty());
  judge(report, accepted, policy);
  return report;
}

void add_findings(ScanReport& report, const std::vector<provider::ImageFinding>& others, const std::vector<AcceptedFinding>& accepted, const ScanPolicy& policy) {
  for (const auto& other : others) {
    // Debian's advisories name source packages, registries' scanners either.
    const auto known = std::find_if(report.findings.begin(), report.findings.end(), [&](const Finding& one) { return one.id == other.id && (one.package == other.package || one.source == other.package); });
    if (known == report.findings.end()) {
      report.findings.push_back({other.id, other.package, other.installed, other.fixed, other.severity.empty() ? "medium" : other.severity, "", "", other.cvss, false});
    } else if (rank(other.severity) > rank(known->severity)) {
      known->severity = other.severity;
    }
  }
  judge(report, accepted, policy);
}

std::map<std::string, int> ScanReport::open_by_severity() const {
  std::map<std::string, int> counts = {{"critical", 0}, {"high", 0}, {"medium", 0}, {"low", 0}};
  for (const auto& finding : findings) counts[finding.severity] += finding.accepted ? 0 : 1;
  return counts;
}

int ScanReport::open_exploited() const {
  return static_cast<int>(std::count_if(findings.begin(), findings.end(), [](const Finding& one) { return !one.accepted && !one.exploited_since.empty(); }));
}

double ScanReport::open_epss_max() const {
  double highest = 0;
  for (const auto& finding : findings) highest = std::max(highest, finding.accepted ? 0 : finding.epss.value_or(0));
  return highest;
}

Json ScanReport::accepted() const {
  Json list = Json::array();
  for (const auto& f : findings) {
    if (f.accepted) list.push_back({{"id", f.id}, {"package", f.package}, {"purl", f.purl}, {"severity", f.severity}, {"reason", f.accepted_reason}, {"until", f.accepted_until}, {"by", f.accepted_by}});
  }
  return list;
}

Json ScanReport::to_json() const {
  Json package_list = Json::array(), finding_list = Json::array(), feed_list = Json::array(), problem_list = Json::array();
  for (const auto& package : packages) {
    package_list.push_back({{"ecosystem", package.ecosystem}, {"name", package.name}, {"version", package.version}, {"source", package.source}, {"source_version", package.source_version}, {"purl", packages::purl_of(package)}, {"owner", package.owner}});
  }
  for (const auto& finding : findings) finding_list.push_back(advisories::to_json(finding));
  for (const auto& feed : feeds) feed_list.push_back({{"name", feed.name}, {"dated", to_rfc3339(feed.dated)}, {"records", feed.records}, {"age_days", feed.age_days(scanned)}});
  for (const auto& problem : problems) problem_list.push_back({{"place", problem.place}, {"detail", problem.detail}});
  return {{"packages", package_list}, {"findings", finding_list}, {"feeds", feed_list}, {"scanned", to_rfc3339(scanned)}, {"blocked", blocked},
          {"uncovered", uncovered}, {"unversioned", unversioned}, {"problems", problem_list}};
}

}  // namespace redoubt::advisories
