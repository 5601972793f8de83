// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/compliance.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "provider/aws/about.h"
#include "provider/aws/answer.h"

namespace redoubt::provider::aws {
namespace {

constexpr std::size_t kFilterValuesMax = 20;  // of one filter of Security Hub
constexpr std::size_t kResourcesMax = 20;     // that a check names

// Answers of one guard, by the identifiers that the controls name; `why_not` says why there are none.
struct Answers {
  std::map<std::string, std::vector<ComplianceCheck>, std::less<>> by_name = {};
  std::string why_not = {};
};

// A guard that is off or closed to us is no error: its checks were not made.
Result<std::optional<Json>> ask(Result<Json> answer, const char* guard, const char* actions, Answers& answers) {
  if (answer) return std::optional<Json>(std::move(*answer));
  const bool is_off = is_service_error(answer.error(), "InvalidAccessException");
  if (is_off || answer.error().code == ErrorCode::permission_denied) {
    answers.why_not = is_off ? fmt::format("{} is off", guard) : fmt::format("not permitted: allow {} to the role that runs this", actions);
    return std::optional<Json>();
  }
  return fail_about(guard, std::move(answer.error()));
}

void name_resource(ComplianceCheck& check, std::string resource) {
  if (check.resources.size() < kResourcesMax && std::find(check.resources.begin(), check.resources.end(), resource) == check.resources.end()) check.resources.push_back(std::move(resource));
}

Result<ComplianceCheck> read_rule(Client& client, const std::string& name, const std::string& compliance) {
  ComplianceCheck check{"config", name, Verdict::not_checked, {}, {}};
  if (compliance == "COMPLIANT") check.verdict = Verdict::passed;
  if (compliance == "INSUFFICIENT_DATA" || compliance.empty()) check.detail = "the rule has nothing to judge yet";
  if (compliance == "NOT_APPLICABLE") check.detail = "the rule applies to nothing here";
  if (compliance != "NON_COMPLIANT") return check;
  check.verdict = Verdict::failed;
  check.detail = "resources break the rule";
  const auto results = client.call_all("config", "GetComplianceDetailsByConfigRule", {{"ConfigRuleName", name}, {"ComplianceTypes", {"NON_COMPLIANT"}}, {"Limit", 100}}, "EvaluationResults");
  if (!results) return fail_about("rule " + name, results.error(), "allow config:GetComplianceDetailsByConfigRule to the role that runs this");
  for (const auto& one : *results) {
    const Json qualifier = json_or(json_or(one, "EvaluationResultIdentifier", Json::object()), "EvaluationResultQualifier", Json::object());
    name_resource(check, text(qualifier, "ResourceType") + " " + text(qualifier, "ResourceId"));
  }
  return check;
}

// Rules are known by the identifier of AWS's managed rule, whatever name somebody gave them.
Result<Answers> config_answers(Client& client) {
  constexpr const char* kActions = "config:DescribeConfigurationRecorderStatus, DescribeConfigRules and DescribeComplianceByConfigRule";
  Answers answers;
  const auto status = TRY(ask(client.call("config", "DescribeConfigurationRecorderStatus", Json::object()), "AWS Config", kActions, answers));
  if (!status) return answers;
  const Json recorders = json_or(*status, "ConfigurationRecordersStatus", Json::array());
  if (std::none_of(recorders.begin(), recorders.end(), [](const Json& one) { return json_or(one, "recording", false); })) {
    answers.why_not = "AWS Config is off in " + client.region();
    return answers;
  }
  const auto rules = TRY(ask(client.call_all("config", "DescribeConfigRules", Json::object(), "ConfigRules"), "AWS Config", kActions, answers));
  if (!rules) return answers;
  const auto verdicts = TRY(ask(client.call_all("config", "DescribeComplianceByConfigRule", Json::object(), "ComplianceByConfigRules"), "AWS Config", kActions, answers));
  if (!verdicts) return answers;
  std::map<std::string, std::string> compliance;
  for (const auto& one : *verdicts) compliance[text(one, "ConfigRuleName")] = text(json_or(one, "Compliance", Json::object()), "ComplianceType");
  for (const auto& rule : *rules) {
    const auto identifier = text(json_or(rule, "Source", Json::object()), "SourceIdentifier"), name = text(rule, "ConfigRuleName");
    const auto known = controls();
    const bool is_ours = std::any_of(known.begin(), known.end(), [&](const Control& one) { return std::find(one.rules.begin(), one.rules.end(), identifier) != one.rules.end(); });
    if (is_ours) answers.by_name[identifier].push_back(TRY(read_rule(client, name, compliance[name])));
  }
  return answers;
}

void add_finding(const Json& finding, ComplianceCheck& check) {
  const Json compliance = json_or(finding, "Compliance", Json::object());
  const auto status = text(compliance, "Status");
  const bool has_failed = status == "FAILED";
  if (has_failed && check.verdict != Verdict::failed) {
    check.verdict = Verdict::failed;
    check.detail = text(finding, "Title");
    check.resources.clear();
  }
  if (status == "PASSED" && check.verdict == Verdict::not_checked) {
    check.verdict = Verdict::passed;
    check.detail.clear();
  }
  if (check.verdict == Verdict::not_checked) check.detail = "Security Hub could not tell: " + status;
  if (has_failed != (check.verdict == Verdict::failed)) return;
  for (const auto& resource : json_or(finding, "Resources", Json::array())) name_resource(check, text(resource, "Id"));
}

Result<Answers> security_hub_answers(Client& client) {
  Answers answers;
  std::vector<std::string_view> ids;
  for (const auto& control : controls()) ids.insert(ids.end(), control.controls.begin(), control.controls.end());
  const auto equals = [](auto from, auto to) {
    Json list = Json::array();
    for (; from != to; ++from) list.push_back({{"Comparison", "EQUALS"}, {"Value", std::string(*from)}});
    return list;
  };
  const std::vector<const char*> open = {"NEW", "NOTIFIED", "RESOLVED"}, active = {"ACTIVE"};  // what somebody suppressed is accepted there
  for (std::size_t from = 0; from < ids.size(); from += kFilterValuesMax) {
    const auto begin = ids.begin() + static_cast<std::ptrdiff_t>(from), end = ids.begin() + static_cast<std::ptrdiff_t>(std::min(ids.size(), from + kFilterValuesMax));
    const Json filters = {{"ComplianceSecurityControlId", equals(begin, end)}, {"RecordState", equals(active.begin(), active.end())}, {"WorkflowStatus", equals(open.begin(), open.end())}};
    const auto findings = TRY(ask(client.call_all("securityhub", "GetFindings", {{"Filters", filters}, {"MaxResults", 100}}, "Findings"), "Security Hub", "securityhub:GetFindings", answers));
    if (!findings) return answers;
    for (const auto& finding : *findings) {
      const auto id = text(json_or(finding, "Compliance", Json::object()), "SecurityControlId");
      auto& checks = answers.by_name[id];
      if (checks.empty()) checks.push_back({"securityhub", id, Verdict::not_checked, {}, {}});
      add_finding(finding, checks[0]);
    }
  }
  return answers;
}

void add_answers(const Answers& answers, const char* source, const std::vector<std::string_view>& names, const char* none, std::vector<ComplianceCheck>& checks) {
  for (const auto name : names) {
    const auto found = answers.by_name.find(name);
    if (found != answers.by_name.end()) {
      checks.insert(checks.end(), found->second.begin(), found->second.end());
    } else {
      checks.push_back({source, std::string(name), Verdict::not_checked, {}, answers.why_not.empty() ? none : answers.why_not});
    }
  }
}

}  // namespace

const char* to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::passed: return "passed";
    case Verdict::failed: return "failed";
    case Verdict::not_checked: return "not checked";
  }
  return "not checked";
}

Verdict ControlReport::verdict() const {
  const auto has = [&](Verdict verdict) { return std::any_of(checks.begin(), checks.end(), [&](const ComplianceCheck& one) { return one.verdict == verdict; }); };
  return has(Verdict::failed) ? Verdict::failed : has(Verdict::passed) ? Verdict::passed : Verdict::not_checked;
}

Result<std::vector<ControlReport>> read_compliance(Client& client, const std::vector<ComplianceCheck>& own) {
  const auto config = TRY(config_answers(client)), hub = TRY(security_hub_answers(client));
  std::vector<ControlReport> reports;
  for (const auto& control : controls()) {
    ControlReport report{&control, {}};
    for (const auto name : control.own) std::copy_if(own.begin(), own.end(), std::back_inserter(report.checks), [&](const ComplianceCheck& one) { return one.name == name; });
    add_answers(config, "config", control.rules, "no rule of this kind is on", report.checks);
    add_answers(hub, "securityhub", control.controls, "the control is off or has not run", report.checks);
    reports.push_back(std::move(report));
  }
  return reports;
}

}  // namespace redoubt::provider::aws
