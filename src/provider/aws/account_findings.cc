// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/account_findings.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "base/lower_case.h"
#include "provider/aws/about.h"
#include "provider/aws/answer.h"

namespace redoubt::provider::aws {
namespace {

constexpr std::size_t kFindingsAtOnce = 50, kFindingsMax = 1'000;

// A text in ISO 8601 or seconds since 1970, as the services have it.
std::string since_of(const Json& object, const char* member) {
  const auto time = time_of(object, member);
  return time ? to_rfc3339(*time) : text(object, member);
}

std::string guardduty_severity(double level) { return level >= 9 ? "critical" : level >= 7 ? "high" : "medium"; }

AccountFinding guard_is_off(const char* source, const std::string& region, const char* severity = "high") {
  return {source, std::string("off-") + region, severity, "GuardIsOff", fmt::format("{} is off in {}", source, region), ""};
}

// Its answers have the wire's names, which begin in lower case.
Status read_guardduty(Client& client, const AccountFindingsOptions& options, std::vector<AccountFinding>& found) {
  constexpr const char* kCure = "allow guardduty:ListDetectors, ListFindings and GetFindings to the role that runs this";
  auto detectors = client.call_all("guardduty", "ListDetectors", Json::object(), "detectorIds");
  if (!detectors) return fail_about("guardduty", detectors.error(), kCure);
  if (detectors->empty()) found.push_back(guard_is_off("guardduty", client.region()));
  for (const auto& detector : *detectors) {
    const Json criteria = {{"Criterion", {{"service.archived", {{"Eq", {"false"}}}}, {"severity", {{"Gte", static_cast<int>(options.guardduty_severity_min)}}}}}};
    auto ids = client.call_all("guardduty", "ListFindings", {{"DetectorId", detector}, {"FindingCriteria", criteria}}, "findingIds");
    if (!ids) return fail_about(detector.get<std::string>(), ids.error(), kCure);
    for (std::size_t from = 0; from < std::min(ids->size(), kFindingsMax); from += kFindingsAtOnce) {
      const auto end = std::min(from + kFindingsAtOnce, ids->size());
      const Json some(std::vector<Json>(ids->begin() + static_cast<std::ptrdiff_t>(from), ids->begin() + static_cast<std::ptrdiff_t>(end)));
      auto answer = client.call("guardduty", "GetFindings", {{"DetectorId", detector}, {"FindingIds", some}});
      if (!answer) return fail_about(detector.get<std::string>(), answer.error(), kCure);
      for (const auto& one : json_or(*answer, "findings", Json::array())) {
        found.push_back({"guardduty", text(one, "id"), guardduty_severity(json_or(one, "severity", 0.0)), text(one, "type"), text(one, "title"), since_of(one, "createdAt")});
      }
    }
  }
  return {};
}

Status read_inspector(Client& client, std::vector<AccountFinding>& found) {
  const auto equals = [](const char* value) { return Json{{"comparison", "EQUALS"}, {"value", value}}; };
  const Json criteria = {{"findingStatus", {equals("ACTIVE")}}, {"severity", {equals("CRITICAL"), equals("HIGH")}}};
  auto findings = client.call_all("inspector2", "ListFindings", {{"filterCriteria", criteria}}, "findings");
  if (!findings) return fail_about("inspector2", findings.error(), "turn Amazon Inspector on, and allow inspector2:ListFindings to the role that runs this");
  for (const auto& one : *findings) {
    if (found.size() >= kFindingsMax) break;
    found.push_back({"inspector", text(one, "findingArn"), lower_case(text(one, "severity")), text(one, "type"), text(one, "title"), since_of(one, "firstObservedAt")});
  }
  return {};
}

bool is_failed_login(const Json& event) {
  const auto about = parse_json(text(event, "CloudTrailEvent"), "CloudTrailEvent", {1 << 20, 32});
  if (!about) return false;
  return text(json_or(*about, "responseElements", Json::object()), "ConsoleLogin") == "Failure";
}

// How many there were, never whose.
Status read_failed_logins(Client& client, TimePoint now, const AccountFindingsOptions& options, std::vector<AccountFinding>& found) {
  const double end = static_cast<double>(now.time_since_epoch().count()) / 1000;
  const Json input = {{"LookupAttributes", Json::array({{{"AttributeKey", "EventName"}, {"AttributeValue", "ConsoleLogin"}}})}, {"StartTime", end - options.hours * 3600.0}, {"EndTime", end}};
  auto events = client.call_all("cloudtrail", "LookupEvents", input, "Events");
  if (!events) return fail_about("cloudtrail", events.error(), "allow cloudtrail:LookupEvents to the role that runs this");
  const auto failed = std::count_if(events->begin(), events->end(), is_failed_login);
  if (failed <= options.failed_logins_max) return {};
  const std::string today = to_rfc3339(now).substr(0, 10);
  found.push_back({"cloudtrail", "failed-console-logins-" + today, "high", "FailedConsoleLogins", fmt::format("{} failed sign-ins to the console in {} hours", failed, options.hours), to_rfc3339(now)});
  return {};
}

Status read_config(Client& client, std::vector<AccountFinding>& found) {
  constexpr const char* kCure = "allow config:DescribeConfigurationRecorderStatus and DescribeComplianceByConfigRule to the role that runs this";
  auto status = client.call("config", "DescribeConfigurationRecorderStatus", Json::object());
  if (!status) return fail_about("config", status.error(), kCure);
  const Json recorders = json_or(*status, "ConfigurationRecordersStatus", Json::array());
  if (std::none_of(recorders.begin(), recorders.end(), [](const Json& one) { return json_or(one, "recording", false); })) found.push_back(guard_is_off("config", client.region(), "medium"));
  auto rules = client.call_all("config", "DescribeComplianceByConfigRule", {{"ComplianceTypes", {"NON_COMPLIANT"}}}, "ComplianceByConfigRules");
  if (!rules) return fail_about("config", rules.error(), kCure);
  for (const auto& one : *rules) {
    const auto name = text(one, "ConfigRuleName");
    found.push_back({"config", name, "medium", "NonCompliantRule", "resources break the rule " + name, ""});
  }
  return {};
}

Status read_security_hub(Client& client, std::vector<AccountFinding>& found) {
  const auto equals = [](std::initializer_list<const char*> values) {
    Json list = Json::array();
    for (const char* value : values) list.push_back({{"Comparison", "EQUALS"}, {"Value", value}});
    return list;
  };
  const Json filters = {{"ComplianceStatus", equals({"FAILED"})}, {"RecordState", equals({"ACTIVE"})}, {"WorkflowStatus", equals({"NEW", "NOTIFIED"})}, {"SeverityLabel", equals({"CRITICAL", "HIGH", "MEDIUM"})}};
  auto findings = client.call_all("securityhub", "GetFindings", {{"Filters", filters}}, "Findings");
  if (!findings && is_service_error(findings.error(), "InvalidAccessException")) {
    found.push_back(guard_is_off("securityhub", client.region(), "medium"));
    return {};
  }
  if (!findings) return fail_about("securityhub", findings.error(), "allow securityhub:GetFindings to the role that runs this");
  for (const auto& one : *findings) {
    if (found.size() >= kFindingsMax) break;
    const auto control = text(json_or(one, "Compliance", Json::object()), "SecurityControlId");
    found.push_back({"securityhub", text(one, "Id"), lower_case(text(json_or(one, "Severity", Json::object()), "Label")), control.empty() ? text(one, "GeneratorId") : control, text(one, "Title"), text(one, "FirstObservedAt")});
  }
  return {};
}

Status read_access_analyzer(Client& client, std::vector<AccountFinding>& found) {
  constexpr const char* kCure = "allow access-analyzer:ListAnalyzers and ListFindingsV2 to the role that runs this";
  auto analyzers = client.call_all("accessanalyzer", "ListAnalyzers", Json::object(), "analyzers");
  if (!analyzers) return fail_about("accessanalyzer", analyzers.error(), kCure);
  if (analyzers->empty()) found.push_back(guard_is_off("accessanalyzer", client.region(), "medium"));
  for (const auto& analyzer : *analyzers) {
    const auto arn = text(analyzer, "arn");
    auto findings = client.call_all("accessanalyzer", "ListFindingsV2", {{"analyzerArn", arn}, {"filter", {{"status", {{"eq", {"ACTIVE"}}}}}}}, "findings");
    if (!findings) return fail_about(arn, findings.error(), kCure);
    for (const auto& one : *findings) {
      if (found.size() >= kFindingsMax) break;
      const auto type = text(one, "findingType");  // "ExternalAccess", "UnusedIAMRole", "UnusedPermission"
      found.push_back({"accessanalyzer", text(one, "id"), type == "ExternalAccess" ? "high" : "medium", type, type + ": " + text(one, "resource"), since_of(one, "createdAt")});
    }
  }
  return {};
}

}  // namespace

Result<std::vector<AccountFinding>> read_account_findings(Client& client, const Clock& clock, const AccountFindingsOptions& options) {
  std::vector<AccountFinding> found;
  TRY(read_guardduty(client, options, found));
  TRY(read_inspector(client, found));
  TRY(read_failed_logins(client, clock.now(), options, found));
  TRY(read_config(client, found));
  TRY(read_security_hub(client, found));
  TRY(read_access_analyzer(client, found));
  std::stable_sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return std::tie(a.source, a.id) < std::tie(b.source, b.id); });
  return found;
}

}  // namespace redoubt::provider::aws
