// SPDX-License-Identifier: Apache-2.0
#include "advisories/ecr.h"

#include <algorithm>

namespace redoubt::advisories {
namespace {

std::string severity_name(const std::string& severity) {
  if (severity == "critical") return "CRITICAL";
  if (severity == "high") return "HIGH";
  if (severity == "medium") return "MEDIUM";
  return severity == "low" ? "LOW" : "UNDEFINED";
}

double seconds(TimePoint time) { return static_cast<double>(time.time_since_epoch().count()) / 1000; }

std::string address_of(const std::string& id) {
  if (id.starts_with("CVE-")) return "https://nvd.nist.gov/vuln/detail/" + id;
  return id.starts_with("GHSA-") ? "https://github.com/advisories/" + id : "https://osv.dev/vulnerability/" + id;
}

Json ecr_finding_of(const Finding& finding) {
  Json attributes = Json::array();
  const auto add = [&](const char* key, const std::string& value) {
    if (!value.empty()) attributes.push_back({{"key", key}, {"value", value}});
  };
  add("package_version", finding.installed);
  add("package_name", finding.package);
  add("fixed_version", finding.fixed);
  if (finding.cvss > 0) {
    char score[16];
    std::snprintf(score, sizeof score, "%.1f", finding.cvss);
    const bool is_four = finding.vector.starts_with("CVSS:4");
    add(is_four ? "CVSS4_VECTOR" : "CVSS3_VECTOR", finding.vector);
    add(is_four ? "CVSS4_SCORE" : "CVSS3_SCORE", score);
  }
  Json out = {{"name", finding.id}, {"severity", severity_name(finding.severity)}, {"attributes", attributes}};
  if (finding.id.find('-') != std::string::npos && finding.id != "MISSING-SECURITY-UPDATE") out["uri"] = address_of(finding.id);
  return out;
}

}  // namespace

Json to_ecr(const ScanReport& report, const EcrImage& image) {
  Json findings = Json::array(), counts = Json::object(), id = Json::object();
  for (const auto& finding : report.findings) {
    if (finding.accepted) continue;
    const std::string severity = severity_name(finding.severity);
    counts[severity] = counts.value(severity, 0) + 1;
    findings.push_back(ecr_finding_of(finding));
  }
  if (image.digest) id["imageDigest"] = image.digest->tagged();
  if (!image.tag.empty()) id["imageTag"] = image.tag;
  TimePoint updated{};
  for (const auto& feed : report.feeds) updated = std::max(updated, feed.dated);
  return {{"registryId", image.registry}, {"repositoryName", image.repository}, {"imageId", id},
          {"imageScanStatus", {{"status", "COMPLETE"}, {"description", "The scan was completed successfully."}}},
          {"imageScanFindings", {{"imageScanCompletedAt", seconds(report.scanned)}, {"vulnerabilitySourceUpdatedAt", seconds(updated)}, {"findingSeverityCounts", counts}, {"findings", findings}}}};
}

}  // namespace redoubt::advisories
