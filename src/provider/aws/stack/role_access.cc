// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/stack/role_access.h"

#include <fmt/format.h>

#include "provider/aws/about.h"
#include "provider/aws/answer.h"

namespace redoubt::provider::aws::stack {
namespace {

constexpr const char* kAuditCure = "allow the role that runs this to read it (the AWS managed policy SecurityAudit does)";

bool is_older(const std::optional<TimePoint>& time, TimePoint now, int days) { return !time || now - *time > std::chrono::hours(24) * days; }

std::string when(const std::optional<TimePoint>& time) { return time ? "not since " + to_rfc3339(*time).substr(0, 10) : "never"; }

// IAM gathers the data when it is asked, for all services that the role's policies name.
Result<Json> services_of(Client& client, const std::string& role, const std::string& arn, const RoleAccessOptions& options) {
  const auto begun = client.call("iam", "GenerateServiceLastAccessedDetails", {{"Arn", arn}, {"Granularity", "SERVICE_LEVEL"}});
  if (!begun) return fail_about("role " + role, begun.error(), kAuditCure);
  const auto is_done = [&](const Json& answer) -> Result<bool> {
    if (text(answer, "JobStatus") == "FAILED") return fail(ErrorCode::unavailable, "IAM could not gather what the role used: " + text(json_or(answer, "Error", Json::object()), "Message"), "role " + role, "try again later");
    return text(answer, "JobStatus") == "COMPLETED";
  };
  const auto answer = client.wait_until("iam", "GetServiceLastAccessedDetails", {{"JobId", text(*begun, "JobId")}, {"MaxItems", 1000}}, is_done, {500, 4'000, options.wait_s_max});
  if (!answer) return fail_about("role " + role, answer.error(), kAuditCure);
  return json_or(*answer, "ServicesLastAccessed", Json::array());
}

Result<RoleAccess> read_role(Client& client, const StackResource& resource, TimePoint now, const RoleAccessOptions& options, std::string& arn) {
  const auto got = client.call("iam", "GetRole", {{"RoleName", resource.physical_id}});
  if (!got) return fail_about("role " + resource.physical_id, got.error(), kAuditCure);
  const Json about = json_or(*got, "Role", Json::object());
  arn = text(about, "Arn");
  const auto used = time_of(json_or(about, "RoleLastUsed", Json::object()), "LastUsedDate");
  RoleAccess role{resource.logical_id, resource.physical_id, used ? to_rfc3339(*used) : "", 0, {}};
  const Json services = TRY(services_of(client, role.role, arn, options));
  role.services = static_cast<int>(services.size());
  if (!is_older(time_of(about, "CreateDate"), now, options.unused_days)) return role;
  if (is_older(used, now, options.unused_days)) {
    role.findings.push_back({"unused role", when(used), "let its step act as it (assume_role_arn), or take the role out of the template where the step does not run on AWS"});
    return role;
  }
  for (const auto& service : services) {
    const auto last = time_of(service, "LastAuthenticated");
    if (!is_older(last, now, options.unused_days)) continue;
    const auto name = text(service, "ServiceNamespace");
    role.findings.push_back({"unused service", fmt::format("{}: {}", name, when(last)), fmt::format("take the statements of {} out of the role's policy, where its step has no use for them", name)});
  }
  return role;
}

// "secretsmanager: GetSecretValue, PutSecretValue", of a permission that nobody used.
Result<std::string> unused_permissions(Client& client, const std::string& analyzer, const std::string& id) {
  const auto found = client.call("accessanalyzer", "GetFindingV2", {{"analyzerArn", analyzer}, {"id", id}});
  if (!found) return fail_about(analyzer, found.error(), kAuditCure);
  std::string out;
  for (const auto& one : json_or(*found, "findingDetails", Json::array())) {
    const Json details = json_or(one, "unusedPermissionDetails", Json::object());
    if (details.empty()) continue;
    std::string actions;
    for (const auto& action : json_or(details, "actions", Json::array())) actions += (actions.empty() ? "" : ", ") + text(action, "action");
    out += fmt::format("{}{}: {}", out.empty() ? "" : "; ", text(details, "serviceNamespace"), actions.empty() ? "all of it" : actions);
  }
  return out;
}

Result<AccessFinding> describe(Client& client, const std::string& analyzer, const Json& finding) {
  const auto type = text(finding, "findingType");
  if (type == "ExternalAccess") return AccessFinding{type, "somebody outside the account may take it on", "put the template's trust policy back ('redoubt aws doctor' shows what differs), or archive the finding where it is meant"};
  if (type != "UnusedPermission") return AccessFinding{type, "IAM Access Analyzer saw no use of it", "take the role out of the template, or archive the finding where it is meant"};
  const auto unused = TRY(unused_permissions(client, analyzer, text(finding, "id")));
  return AccessFinding{type, unused, "take these actions out of the role's policy, where its step has no use for them"};
}

Result<bool> read_analyzers(Client& client, const std::map<std::string, RoleAccess*>& roles) {
  const auto analyzers = client.call_all("accessanalyzer", "ListAnalyzers", Json::object(), "analyzers");
  if (!analyzers) return fail_about("access analyzer", analyzers.error(), kAuditCure);
  for (const auto& analyzer : *analyzers) {
    const auto arn = text(analyzer, "arn");
    const Json filter = {{"status", {{"eq", {"ACTIVE"}}}}, {"resourceType", {{"eq", {"AWS::IAM::Role"}}}}};
    const auto findings = client.call_all("accessanalyzer", "ListFindingsV2", {{"analyzerArn", arn}, {"filter", filter}}, "findings");
    if (!findings) return fail_about(arn, findings.error(), kAuditCure);
    for (const auto& finding : *findings) {
      const auto role = roles.find(text(finding, "resource"));
      if (role != roles.end()) role->second->findings.push_back(TRY(describe(client, arn, finding)));
    }
  }
  return !analyzers->empty();
}

}  // namespace

Result<RoleAccessReport> read_role_access(Client& client, const std::vector<StackResource>& resources, TimePoint now, const RoleAccessOptions& options) {
  RoleAccessReport report;
  std::vector<std::string> arns;
  for (const auto& resource : resources) {
    if (resource.type != "AWS::IAM::Role") continue;
    arns.emplace_back();
    report.roles.push_back(TRY(read_role(client, resource, now, options, arns.back())));
  }
  std::map<std::string, RoleAccess*> by_arn;
  for (std::size_t i = 0; i < arns.size(); ++i) by_arn[arns[i]] = &report.roles[i];
  report.has_analyzer = TRY(read_analyzers(client, by_arn));
  return report;
}

}  // namespace redoubt::provider::aws::stack
