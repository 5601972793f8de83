// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/ecr_findings.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <thread>

#include "base/lower_case.h"
#include "provider/aws/about.h"

namespace redoubt::provider::aws {
namespace {

constexpr int kFindingsPagesMax = 100;
constexpr const char* kScanCure = "allow ecr:DescribeImageScanFindings on the repository to the role that runs this, or set images.ecr.findings_wait_s to 0";

// Levels below low, and those that were never rated, block nothing.
std::string severity_of(const std::string& level) {
  std::string word = lower_case(level);
  for (const char* known : {"critical", "high", "medium", "low"}) {
    if (word == known) return word;
  }
  return word == "informational" ? "low" : "";
}

// {"name": "CVE-...", "severity": "HIGH", "attributes": [{"key": "package_name", "value": "openssl"}, ...]}
ImageFinding basic_finding(const Json& one) {
  ImageFinding found{json_or(one, "name", ""), "", "", "", severity_of(json_or(one, "severity", "")), 0};
  for (const auto& attribute : json_or(one, "attributes", Json::array())) {
    const auto key = json_or(attribute, "key", ""), value = json_or(attribute, "value", "");
    if (key == "package_name") found.package = value;
    if (key == "package_version") found.installed = value;
    if (key == "patched_version") found.fixed = value;
    if (key == "CVSS3_SCORE" || (key == "CVSS2_SCORE" && found.cvss == 0)) std::from_chars(value.data(), value.data() + value.size(), found.cvss);
  }
  return found;
}

void add_enhanced_findings(const Json& one, std::vector<ImageFinding>& found) {
  if (json_or(one, "status", "ACTIVE") != "ACTIVE") return;
  const Json details = json_or(one, "packageVulnerabilityDetails", Json::object());
  const auto id = json_or(details, "vulnerabilityId", ""), severity = severity_of(json_or(one, "severity", ""));
  for (const auto& package : json_or(details, "vulnerablePackages", Json::array())) {
    const auto release = json_or(package, "release", "");
    const auto version = json_or(package, "version", "") + (release.empty() ? "" : "-" + release);
    auto fixed = json_or(package, "fixedInVersion", "");
    if (fixed == "NotAvailable") fixed.clear();
    found.push_back({id, json_or(package, "name", ""), version, fixed, severity, json_or(one, "score", 0.0)});
  }
}

bool is_missing_yet(const Error& error) { return is_service_error(error, "ScanNotFoundException") || is_service_error(error, "ImageNotFoundException"); }

}  // namespace

// A scan on push is there some seconds after it.
Result<std::string> EcrFindings::wait_for_end(const Json& input) {
  const std::string where = scanner() + "@" + json_or(json_or(input, "imageId", Json::object()), "imageDigest", "");
  std::string status = "PENDING", description;
  const auto look = [&](const Json& answer) -> Result<bool> {
    const Json now = json_or(answer, "imageScanStatus", Json::object());
    status = json_or(now, "status", ""), description = json_or(now, "description", "");
    return status != "PENDING" && status != "IN_PROGRESS";
  };
  auto ended = client_.wait_until("ecr", "DescribeImageScanFindings", input, look, options_.wait);
  for (int left = options_.wait.total_s_max; !ended && is_missing_yet(ended.error()) && left > 0; left -= std::max(1, options_.wait.pause_ms_max / 1000)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(options_.wait.pause_ms_max));
    ended = client_.wait_until("ecr", "DescribeImageScanFindings", input, look, options_.wait);
  }
  if (!ended && ended.error().code == ErrorCode::limit_exceeded) {
    return fail(ErrorCode::limit_exceeded, fmt::format("the scan has not ended after {} s: {} {}", options_.wait.total_s_max, status, description), where, "look at it in ECR; raise images.ecr.findings_wait_s and run it again");
  }
  if (!ended) return fail_about(where, std::move(ended.error()), is_missing_yet(ended.error()) ? "the repository has to scan on push" : kScanCure);
  if (status == "COMPLETE" || status == "ACTIVE" || status == "UNSUPPORTED_IMAGE") return status;
  return fail(ErrorCode::gate_refused, fmt::format("the image was not scanned: {} {}", status, description), where, "have it scanned: aws ecr start-image-scan, or look at the registry's scanning configuration");
}

Result<std::vector<ImageFinding>> EcrFindings::read(const Digest& image) {
  Json input = {{"repositoryName", options_.repository}, {"imageId", {{"imageDigest", image.tagged()}}}};
  std::vector<ImageFinding> found;
  if (TRY(wait_for_end(input)) == "UNSUPPORTED_IMAGE") return found;
  for (int page = 0; page < kFindingsPagesMax; ++page) {
    auto answer = client_.call("ecr", "DescribeImageScanFindings", input);
    if (!answer) return fail_about(scanner() + "@" + image.tagged(), std::move(answer.error()), kScanCure);
    const Json findings = json_or(*answer, "imageScanFindings", Json::object());
    for (const auto& one : json_or(findings, "findings", Json::array())) found.push_back(basic_finding(one));
    for (const auto& one : json_or(findings, "enhancedFindings", Json::array())) add_enhanced_findings(one, found);
    const auto next = json_or(*answer, "nextToken", "");
    if (next.empty()) return found;
    input["nextToken"] = next;
  }
  return fail(ErrorCode::limit_exceeded, "more findings than anybody reads", scanner() + "@" + image.tagged(), "rebuild the image from newer packages");
}

}  // namespace redoubt::provider::aws
