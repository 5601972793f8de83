// SPDX-License-Identifier: Apache-2.0
//
// redoubt image lint: what is wrong with a Dockerfile, a declaration or an image.
#include <fmt/format.h>

#include "base/file.h"
#include "cli/image_build_command.h"
#include "cli/report_format.h"
#include "stages/image/recipe/lint.h"

namespace redoubt::cli {
namespace recipe = stages::image::recipe;
namespace {

struct LintOptions {
  std::vector<std::string> names;
  std::string policy, platform = "linux/amd64";
  ReportFormat format;
  bool rules = false;
  RegistryOptions registry;
};

Result<std::vector<recipe::LintFinding>> findings_of(Invocation& invocation, const LintOptions& options, const std::string& name) {
  if (is_plain_file(name)) return recipe::lint_recipe(name);
  const auto platform = TRY(stages::image::oci::Platform::parse(options.platform));
  std::unique_ptr<Session> session;
  std::shared_ptr<provider::ImageStore> store;
  // An image of a layout or of a registry needs no workspace.
  if (!name.starts_with("oci:") && (name.find('@') == name.npos || !options.registry.login_secret.empty())) {
    session = TRY(Session::open(invocation.global));
    store = borrowed(*TRY(session->images()));
  }
  const auto named = TRY(ImageFinder(session.get(), store, options.registry).find(name));
  auto findings = TRY(recipe::lint_image(*named.images, named.image, platform, invocation.progress));
  for (auto& finding : findings) finding.path = name + (finding.path.starts_with('/') ? ":" : " ") + finding.path;
  return findings;
}

sarif::Report to_sarif(const std::vector<recipe::LintFinding>& findings) {
  sarif::Report report;
  report.version = REDOUBT_VERSION;
  for (const auto& rule : recipe::lint_rules()) report.rules.push_back({std::string("image/") + rule.id, rule.summary, rule.cure, rule.severity == recipe::Severity::error ? "high" : rule.severity == recipe::Severity::warning ? "medium" : "low"});
  for (const auto& finding : findings) {
    const bool error = finding.severity == recipe::Severity::error, warning = finding.severity == recipe::Severity::warning;
    sarif::Finding out{"image/" + finding.rule, error ? "high" : warning ? "medium" : "low", finding.message};
    out.path = finding.path;
    out.line = static_cast<std::uint64_t>(finding.line);
    report.findings.push_back(std::move(out));
  }
  return report;
}

Result<int> tell_rules(const Output& output) {
  Json values = Json::array();
  Table table{{"RULE", "SEVERITY", "CIS", "WHAT", "CURE"}, {}};
  for (const auto& rule : recipe::lint_rules()) {
    values.push_back({{"rule", rule.id}, {"severity", recipe::to_string(rule.severity)}, {"summary", rule.summary}, {"cure", rule.cure}, {"cis", rule.also}});
    table.rows.push_back({rule.id, recipe::to_string(rule.severity), rule.also, rule.summary, rule.cure});
  }
  output.result(values, render(table));
  return 0;
}

Result<int> lint(Invocation& invocation, const LintOptions& options, const Output& output) {
  if (options.rules) return tell_rules(output);
  if (options.names.empty()) return fail(ErrorCode::invalid_argument, "nothing to look at", "image lint", "name a Dockerfile, a declaration or an image");
  recipe::LintPolicy policy;
  if (!options.policy.empty()) policy = TRY(recipe::LintPolicy::load(options.policy));
  std::vector<recipe::LintFinding> all;
  for (const auto& name : options.names) {
    for (auto& finding : TRY(findings_of(invocation, options, name))) all.push_back(std::move(finding));
  }
  const auto findings = policy.apply(std::move(all));
  const bool refused = policy.refuses(findings);
  Table table{{"PLACE", "SEVERITY", "RULE", "WHAT", "CURE"}, {}};
  for (const auto& finding : findings) {
    table.rows.push_back({finding.path + (finding.line > 0 ? ":" + std::to_string(finding.line) : ""), recipe::to_string(finding.severity), finding.rule, finding.message, finding.cure});
  }
  TRY(write_report(output, options.format, {{"findings", recipe::to_json(findings)}, {"refused", refused}}, fmt::format("{}{} findings", findings.empty() ? "" : render(table), findings.size()), [&] { return to_sarif(findings); }));
  return refused ? exit_code_of(ErrorCode::gate_refused) : 0;
}

}  // namespace

void add_image_lint_command(CLI::App& group, Invocation& invocation) {
  auto options = std::make_shared<LintOptions>();
  CLI::App* command = add_command(group, invocation, "lint", "A Dockerfile, a declaration or an image against hadolint's and the CIS benchmark's rules; exit status 3 where the policy stops a build",
                                  [&invocation, options](const Output& output) { return lint(invocation, *options, output); });
  command->add_option("names", options->names, "files, tags or digests of the workspace, oci:FOLDER[:TAG], HOST/NAME@sha256:...");
  command->add_option("--policy", options->policy, "which rules count how much (config/image_lint.yaml)");
  command->add_option("--platform", options->platform, "of an index, the image to look at")->capture_default_str();
  command->add_flag("--rules", options->rules, "lists the rules");
  add_registry_options(*command, options->registry);
  add_report_format(*command, options->format);
}

}  // namespace redoubt::cli
