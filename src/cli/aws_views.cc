// SPDX-License-Identifier: Apache-2.0
//
// redoubt aws compliance: each control with what AWS Config, Security Hub, the stack and the workspace say of it. redoubt aws access: what
// the stack's roles use of what they may do.
#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "cli/aws_account.h"
#include "cli/session.h"
#include "ledger/verify.h"
#include "provider/aws/compliance.h"
#include "provider/aws/stack/role_access.h"
#include "provider/aws/stack/stack_check.h"

namespace redoubt::cli {
namespace {

namespace aws = provider::aws;
using aws::ComplianceCheck;
using aws::Verdict;

struct ViewOptions : AwsAccountOptions {
  std::string framework;  // empty: all
  bool with_all = false;
  aws::stack::RoleAccessOptions access;
};

constexpr std::size_t kResourcesShown = 3;

// One check for each type of resource that a control names.
std::vector<ComplianceCheck> checks_of(const aws::stack::StackReport& report) {
  std::map<std::string, ComplianceCheck> checks;
  const auto check_of = [&](const std::string& type) -> ComplianceCheck& { return checks.try_emplace(type, ComplianceCheck{"stack", type, Verdict::passed, {}, {}}).first->second; };
  for (const auto& finding : report.findings) {
    auto& check = check_of(finding.type);
    check.verdict = Verdict::failed;
    check.resources.push_back(finding.resource + (finding.id.empty() ? "" : " " + finding.id));
    check.detail += fmt::format("{}{}: {}", check.detail.empty() ? "" : "; ", finding.resource, finding.detail);
  }
  for (const auto& one : report.read) {
    auto& check = check_of(one.type);
    if (check.verdict == Verdict::passed) check.resources.push_back(one.resource + (one.id.empty() ? "" : " " + one.id));
  }
  std::vector<ComplianceCheck> out;
  for (auto& [type, check] : checks) out.push_back(std::move(check));
  return out;
}

std::vector<ComplianceCheck> not_checked(const char* source, const std::vector<std::string>& names, const std::string& why) {
  std::vector<ComplianceCheck> out;
  for (const auto& name : names) out.push_back({source, name, Verdict::not_checked, {}, why});
  return out;
}

// What the stack does not make under its parameters was not checked; so was all of it where there is no stack.
Result<std::vector<ComplianceCheck>> check_of_stack(AwsAccount& account, TimePoint now) {
  std::vector<std::string> names;
  for (const auto& control : aws::controls()) {
    for (const auto name : control.own) {
      if (name.starts_with("AWS::") && std::find(names.begin(), names.end(), name) == names.end()) names.emplace_back(name);
    }
  }
  const auto report = aws::stack::check_stack(account.stack, *account.client, account.source, now);
  if (!report && (report.error().code == ErrorCode::not_found || report.error().code == ErrorCode::permission_denied)) {
    return not_checked("stack", names, report.error().message + (report.error().hint.empty() ? "" : ": " + report.error().hint));
  }
  auto checks = checks_of(TRY(report));
  std::erase_if(names, [&](const std::string& name) { return std::any_of(checks.begin(), checks.end(), [&](const ComplianceCheck& one) { return one.name == name; }); });
  for (auto& one : not_checked("stack", names, "the stack makes none: see the template's parameters")) checks.push_back(std::move(one));
  return checks;
}

ComplianceCheck check_of_ledger(Session& session) {
  ComplianceCheck check{"workspace", "ledger", Verdict::passed, {}, {}};
  auto problems = ledger::verify_ledger(session.ledger_options(), session.ledger_key().public_key()).problems;
  if (problems.empty()) {
    const auto statements = session.evidence().verify_statements();
    if (!statements) problems.push_back({"ledger", statements.error().where, statements.error().message});
    if (statements) problems = *statements;
  }
  for (const auto& problem : problems) {
    check.verdict = Verdict::failed;
    if (check.resources.size() < kResourcesShown) check.resources.push_back(problem.object);
    if (check.detail.empty()) check.detail = problem.detail + "; 'redoubt audit verify' names all";
  }
  return check;
}

ComplianceCheck check_of_secrets(Session& session, TimePoint now) {
  ComplianceCheck check{"workspace", "secrets", Verdict::not_checked, {}, "no secret is there"};
  const auto infos = session.secrets().list();
  if (!infos) {
    check.detail = infos.error().message;
    return check;
  }
  for (const auto& info : *infos) {
    const bool is_old = now - info.changed > provider::kSecretAgeMax;
    if (is_old && check.verdict != Verdict::failed) {
      check = {"workspace", "secrets", Verdict::failed, {}, "older than 90 days: 'redoubt secret rotate'"};
    } else if (!is_old && check.verdict == Verdict::not_checked) {
      check = {"workspace", "secrets", Verdict::passed, {}, {}};
    }
    if (is_old == (check.verdict == Verdict::failed)) check.resources.push_back(info.name);
  }
  return check;
}

// What was tampered with fails; a workspace that is not there or does not open says so.
std::vector<ComplianceCheck> checks_of_workspace(const GlobalOptions& options, TimePoint now) {
  const std::vector<std::string> names = {"ledger", "secrets"};
  if (!is_plain_file(std::filesystem::path(options.workspace) / "workspace.json")) return not_checked("workspace", names, "there is no workspace at " + options.workspace);
  auto session = Session::open(options);
  if (session) return {check_of_ledger(**session), check_of_secrets(**session, now)};
  auto checks = not_checked("workspace", names, session.error().message);
  if (session.error().code == ErrorCode::tampered) checks[0].verdict = Verdict::failed;
  return checks;
}

std::string shown(const std::vector<std::string>& resources) {
  std::string out;
  for (std::size_t i = 0; i < std::min(resources.size(), kResourcesShown); ++i) out += (i == 0 ? "" : ", ") + resources[i];
  if (resources.size() > kResourcesShown) out += fmt::format(" and {} more", resources.size() - kResourcesShown);
  return out;
}

std::string words_of(const ComplianceCheck& check) {
  const auto resources = check.verdict == Verdict::failed ? shown(check.resources) : std::string();
  return check.detail + (check.detail.empty() || resources.empty() ? "" : ": ") + resources;
}

Json control_json(const aws::ControlReport& report, const std::vector<aws::Framework>& frameworks) {
  Json checks = Json::array(), clauses = Json::object();
  for (const auto& one : report.checks) checks.push_back({{"source", one.source}, {"name", one.name}, {"verdict", aws::to_string(one.verdict)}, {"resources", one.resources}, {"detail", one.detail}});
  for (const auto framework : frameworks) clauses[aws::to_string(framework)] = std::string(report.control->clauses(framework));
  return {{"id", std::string(report.control->id)}, {"title", std::string(report.control->title)}, {"clauses", clauses}, {"verdict", aws::to_string(report.verdict())}, {"checks", checks}};
}

void add_rows(const aws::ControlReport& report, const std::vector<aws::Framework>& frameworks, bool with_all, Table& table) {
  std::string clauses;
  for (const auto framework : frameworks) clauses += (clauses.empty() ? "" : "; ") + std::string(report.control->clauses(framework));
  table.rows.push_back({std::string(report.control->id), aws::to_string(report.verdict()), clauses, std::string(report.control->title)});
  for (const auto& one : report.checks) {
    if (with_all || one.verdict == Verdict::failed) table.rows.push_back({"  " + one.source, aws::to_string(one.verdict), one.name, words_of(one)});
  }
}

Result<int> compliance(Invocation& invocation, const ViewOptions& options, const Output& output) {
  std::vector<aws::Framework> frameworks(std::begin(aws::kFrameworks), std::end(aws::kFrameworks));
  if (const auto one = aws::framework_of(options.framework)) frameworks = {*one};
  const SystemClock clock;
  auto account = TRY(open_aws_account(invocation, options));
  auto own = TRY(check_of_stack(account, clock.now()));
  for (auto& one : checks_of_workspace(invocation.global, clock.now())) own.push_back(std::move(one));
  const auto reports = TRY(aws::read_compliance(*account.client, own));
  Json controls = Json::array();
  Table table{{"CONTROL", "VERDICT", frameworks.size() == 1 ? "CLAUSE" : "CLAUSES", "WHAT"}, {}};
  std::map<Verdict, int> counts = {{Verdict::passed, 0}, {Verdict::failed, 0}, {Verdict::not_checked, 0}};
  for (const auto& report : reports) {
    ++counts[report.verdict()];
    controls.push_back(control_json(report, frameworks));
    add_rows(report, frameworks, options.with_all, table);
  }
  const auto sum = fmt::format("{} passed, {} failed, {} not checked; it is what these sources say today, and no attestation of an auditor", counts[Verdict::passed], counts[Verdict::failed], counts[Verdict::not_checked]);
  output.result({{"environment", options.environment}, {"controls", controls}, {"passed", counts[Verdict::passed]}, {"failed", counts[Verdict::failed]}, {"not_checked", counts[Verdict::not_checked]}}, render(table) + sum);
  return counts[Verdict::failed] == 0 ? 0 : exit_code_of(ErrorCode::gate_refused);
}

Result<int> access(Invocation& invocation, const ViewOptions& options, const Output& output) {
  const SystemClock clock;
  auto account = TRY(open_aws_account(invocation, options));
  if (!TRY(account.stack.state())) return fail(ErrorCode::not_found, "there is no such stack in " + account.client->region(), "stack " + account.stack.name(), "make it with 'redoubt aws up'");
  const auto report = TRY(aws::stack::read_role_access(*account.client, TRY(account.stack.resources()), clock.now(), options.access));
  Json roles = Json::array();
  Table table{{"ROLE", "LAST USED", "FOUND", "WHAT", "CURE"}, {}};
  int found = 0;
  for (const auto& role : report.roles) {
    Json findings = Json::array();
    const auto last = role.last_used.empty() ? "-" : role.last_used.substr(0, 10);
    for (const auto& one : role.findings) {
      findings.push_back({{"what", one.what}, {"detail", one.detail}, {"cure", one.cure}});
      table.rows.push_back({role.role, last, one.what, one.detail, one.cure});
      ++found;
    }
    if (role.findings.empty()) table.rows.push_back({role.role, last, "-", fmt::format("{} services", role.services), "-"});
    roles.push_back({{"resource", role.resource}, {"role", role.role}, {"last_used", role.last_used.empty() ? Json(nullptr) : Json(role.last_used)}, {"services", role.services}, {"findings", findings}});
  }
  const std::string guard = report.has_analyzer ? "" : "\nno access analyzer looks at the account: redoubt aws up " + options.environment + " --parameter EnableAccessAnalyzer=true";
  output.result({{"stack", account.stack.name()}, {"roles", roles}, {"has_analyzer", report.has_analyzer}}, fmt::format("{}{} roles, {} findings{}", render(table), report.roles.size(), found, guard));
  return found == 0 ? 0 : exit_code_of(ErrorCode::gate_refused);
}

}  // namespace

void add_aws_view_commands(CLI::App& group, Invocation& invocation) {
  const auto options = std::make_shared<ViewOptions>();
  options->environment = "production";
  const auto add = [&](const char* name, const char* help, auto body) {
    CLI::App* command = add_command(group, invocation, name, help, [&invocation, options, body](const Output& output) { return body(invocation, *options, output); });
    add_aws_environment_options(*command, *options);
    command->get_option("environment")->required(false)->description("dev, staging or production (default)");
    add_aws_stack_options(*command, *options);
    return command;
  };
  CLI::App* view = add("compliance", "Controls of SOC 2, HIPAA, GDPR and PCI DSS: passed, failed or not checked, by AWS Config, Security Hub, the stack and the ledger; exit status 3 where one failed", compliance);
  view->add_option("--framework", options->framework, "soc2, hipaa, gdpr or pci-dss (default: all)")->check(CLI::IsMember({"soc2", "hipaa", "gdpr", "pci-dss"}));
  view->add_flag("--all", options->with_all, "each check, not those alone that failed");
  add("access", "What the stack's roles use of what they may do; exit status 3 where something is unused or open", access)
      ->add_option("--unused-days", options->access.unused_days, "what was not used for longer is told (default: 90)")
      ->check(CLI::Range(1, 400));
}

}  // namespace redoubt::cli
