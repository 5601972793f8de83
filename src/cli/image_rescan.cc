// SPDX-License-Identifier: Apache-2.0
#include "cli/image_rescan.h"

#include <algorithm>
#include <set>

#include "cli/image_check.h"

namespace redoubt::cli {
namespace {

Result<std::optional<attest::StepRecord>> last_record(Session& session, const std::string& environment, const Digest& image) {
  const auto entries = TRY(session.evidence().of_step("scan"));
  for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
    auto record = TRY(attest::to_step_record(entry->statement));
    if (json_or(record.result, "image", "") == image.tagged() && json_or(record.result, "environment", "") == environment) return std::optional(std::move(record));
  }
  return std::optional<attest::StepRecord>();
}

std::set<std::string> names_in(const Json& result, const char* key) {
  std::set<std::string> names;
  for (const auto& name : json_or(result, key, Json::array())) {
    if (name.is_string()) names.insert(name.get<std::string>());
  }
  return names;
}

bool blocks_by_exploit(advisories::Finding finding, const advisories::ScanPolicy& policy) {
  finding.severity = "low";
  return advisories::blocks(finding, policy);
}

// Whether the image was let through with high findings; those that it has at its first scan are then no news.
Result<bool> was_built_with_high(Session& session, const Digest& image) {
  for (const auto& entry : TRY(session.evidence().of_step(governance::ImageStep::kName))) {
    const auto record = TRY(attest::to_step_record(entry.statement));
    const auto built = record.outputs.find("image");
    if (built == record.outputs.end() || built->second != image) continue;
    return json_or(json_or(record.result, "vulnerabilities", Json::object()), "high", std::int64_t{0}) > 0;
  }
  return false;
}

}  // namespace

Result<std::optional<TimePoint>> last_rescan(Session& session, const std::string& environment, const Digest& image) {
  const auto record = TRY(last_record(session, environment, image));
  return record ? std::optional(record->finished) : std::nullopt;
}

Result<Rescan> rescan_deployed(Session& session, const std::string& environment, const Digest& image, const Json& options) {
  const auto before = TRY(last_record(session, environment, image));
  const auto [report, scan_options] = TRY(rescan_image(session, image, options));
  // What admission would refuse whatever its severity (KEV, EPSS) is as grave as a critical finding.
  std::set<std::string> critical, high;
  for (const auto& finding : report.findings) {
    if (!advisories::blocks(finding, scan_options.policy)) continue;
    (finding.severity == "high" && !blocks_by_exploit(finding, scan_options.policy) ? high : critical).insert(finding.id + " in " + finding.package);
  }
  std::set<std::string> known_high;
  if (before && before->result.contains("known_high")) {
    known_high = names_in(before->result, "known_high");
  } else if (TRY(was_built_with_high(session, image))) {
    known_high = high;
  }
  Rescan rescan{report.scanned, report.open_by_severity(), static_cast<int>(critical.size()), {}};
  rescan.grave += static_cast<int>(std::count_if(high.begin(), high.end(), [&](const std::string& name) { return !known_high.contains(name); }));
  std::set<std::string> all = critical;
  all.insert(high.begin(), high.end());
  const auto earlier = before ? names_in(before->result, "findings") : known_high;
  std::set_difference(all.begin(), all.end(), earlier.begin(), earlier.end(), std::back_inserter(rescan.news));
  TRY(session.record_event("scan", {{"image", image.tagged()}, {"environment", environment}, {"vulnerabilities", rescan.vulnerabilities}, {"findings", all}, {"known_high", known_high}, {"new", rescan.news},
                                      {"exploited", report.open_exploited()}, {"accepted", report.accepted()}, {"vex", stages::image::to_json(scan_options.vex)}}));
  return rescan;
}

}  // namespace redoubt::cli
