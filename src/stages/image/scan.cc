// SPDX-License-Identifier: Apache-2.0
#include "stages/image/scan.h"

#include <algorithm>

#include "stages/image/version_order.h"

namespace redoubt::stages::image {
namespace {

int rank(const std::string& severity) {
  return severity == "critical" ? 4 : severity == "high" ? 3 : severity == "medium" ? 2 : severity == "low" ? 1 : 0;
}

std::string python_name(std::string name) {
  for (char& c : name) c = c == '_' || c == '.' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return name;
}

// What those who publish advisories compare with. "2.13.0+cpu" is "2.13.0": a local label names a build, not a release. Debian's
// advisories are about source packages.
std::string published_version(const Package& package) {
  return package.ecosystem == "PyPI" ? package.version.substr(0, package.version.find('+')) : package.source_version;
}

void match_advisories(const Package& package, const Advisories& advisories, std::vector<Finding>& findings) {
  const bool is_python = package.ecosystem == "PyPI";
  const std::string name = is_python ? python_name(package.name) : package.source;
  const auto [begin, end] = advisories.by_package.equal_range(package.ecosystem + "/" + name);
  for (auto at = begin; at != end; ++at) {
    const auto fixed = affected_until(at->second, published_version(package));
    if (!fixed) continue;
    findings.push_back({at->second.id, package.name, package.version, *fixed, at->second.severity, package.source, package.source_version, at->second.cvss, false});
  }
}

// A version older than the security suite's is a fix that was not installed; how grave, no list of apt's says.
void match_suite(const Package& package, const Advisories& advisories, std::vector<Finding>& findings) {
  const auto newest = advisories.suite_versions.find(package.name);
  if (newest == advisories.suite_versions.end() || compare_debian_versions(package.version, newest->second) >= 0) return;
  findings.push_back({"MISSING-SECURITY-UPDATE", package.name, package.version, newest->second, "high", "", "", 0, false});
}

void judge(ScanReport& report, const std::vector<AcceptedFinding>& accepted) {
  for (auto& finding : report.findings) {
    finding.accepted = std::any_of(accepted.begin(), accepted.end(), [&](const AcceptedFinding& each) {
      return each.id == finding.id && each.package == finding.package && report.scanned < each.expires;
    });
    report.blocked = report.blocked || (!finding.accepted && rank(finding.severity) >= 3);
  }
  std::stable_sort(report.findings.begin(), report.findings.end(), [](const Finding& a, const Finding& b) { return rank(a.severity) > rank(b.severity); });
}

}  // namespace

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

std::optional<std::string> affected_until(const Advisory& advisory, const std::string& installed) {
  const auto order = [&](const std::string& other) { return compare_versions(advisory.ecosystem, installed, other); };
  for (const auto& range : advisory.ranges) {
    if (range.introduced != "0" && order(range.introduced) < 0) continue;
    const bool below_end = range.fixed.empty() ? range.last_affected.empty() || order(range.last_affected) <= 0 : order(range.fixed) < 0;
    if (below_end) return range.fixed;
  }
  const bool is_listed = std::any_of(advisory.versions.begin(), advisory.versions.end(), [&](const std::string& version) { return order(version) == 0; });
  if (!is_listed) return std::nullopt;
  std::string next;  // the lowest fix above it
  for (const auto& range : advisory.ranges) {
    if (range.fixed.empty() || order(range.fixed) >= 0) continue;
    if (next.empty() || compare_versions(advisory.ecosystem, range.fixed, next) < 0) next = range.fixed;
  }
  return next;
}

ScanReport scan_packages(std::vector<Package> packages, const Advisories& advisories, const std::vector<AcceptedFinding>& accepted, TimePoint now) {
  ScanReport report;
  report.feeds = advisories.feeds;
  report.scanned = now;
  for (const auto& package : packages) {
    if (package.ecosystem.empty()) continue;  // the engine itself
    match_advisories(package, advisories, report.findings);
    if (package.ecosystem.starts_with("Debian")) match_suite(package, advisories, report.findings);
  }
  judge(report, accepted);
  report.packages = std::move(packages);
  return report;
}

void add_findings(ScanReport& report, const std::vector<provider::ImageFinding>& others, const std::vector<AcceptedFinding>& accepted) {
  for (const auto& other : others) {
    // Debian's advisories name source packages, registries' scanners either.
    const auto known = std::find_if(report.findings.begin(), report.findings.end(), [&](const Finding& one) { return one.id == other.id && (one.package == other.package || one.source == other.package); });
    if (known == report.findings.end()) {
      report.findings.push_back({other.id, other.package, other.installed, other.fixed, other.severity.empty() ? "medium" : other.severity, "", "", other.cvss, false});
    } else if (rank(other.severity) > rank(known->severity)) {
      known->severity = other.severity;
    }
  }
  judge(report, accepted);
}

std::map<std::string, int> ScanReport::open_by_severity() const {
  std::map<std::string, int> counts = {{"critical", 0}, {"high", 0}, {"medium", 0}, {"low", 0}};
  for (const auto& finding : findings) counts[finding.severity] += finding.accepted ? 0 : 1;
  return counts;
}

Json ScanReport::to_json() const {
  Json package_list = Json::array(), finding_list = Json::array(), feed_list = Json::array();
  for (const auto& package : packages) package_list.push_back({{"ecosystem", package.ecosystem}, {"name", package.name}, {"version", package.version}, {"source", package.source}, {"source_version", package.source_version}});
  for (const auto& f : findings) {
    finding_list.push_back({{"id", f.id}, {"package", f.package}, {"installed", f.installed}, {"fixed", f.fixed}, {"severity", f.severity},
                            {"cvss", f.cvss > 0 ? Json(f.cvss) : Json(nullptr)}, {"accepted", f.accepted}, {"source", f.source}, {"source_version", f.source_version}});
  }
  for (const auto& feed : feeds) feed_list.push_back({{"name", feed.name}, {"dated", to_rfc3339(feed.dated)}, {"records", feed.records}, {"age_days", feed.age_days(scanned)}});
  return {{"packages", package_list}, {"findings", finding_list}, {"feeds", feed_list}, {"scanned", to_rfc3339(scanned)}, {"blocked", blocked}};
}

}  // namespace redoubt::stages::image
