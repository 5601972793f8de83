// SPDX-License-Identifier: Apache-2.0
//
// redoubt image: build, scan, sbom, list.
#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/engine_image.h"
#include "cli/image_check.h"
#include "stages/image/step.h"

namespace redoubt::cli {
namespace {

struct Options {
  std::string reference, name = "redoubt-engine";
  std::vector<std::string> osv;
};

stages::image::ScanOptions scan_options(const Options& options) {
  stages::image::ScanOptions scan;
  for (const auto& path : options.osv) scan.osv.emplace_back(path);
  return scan;
}

Result<int> build(Invocation& invocation, const Options& options, const Output& output) {
  auto session = TRY(Session::open(invocation.global));
  TRY(session->require(governance::Permission::run_pipeline));
  const auto lock = TRY(session->workspace().lock());
  stages::image::StepDeps deps{session->store(), *TRY(session->images()), *TRY(session->recorder()), session->clock(), invocation.progress};
  const auto image = TRY(stages::image::build({TRY(find_engine()), options.name, REDOUBT_VERSION}, scan_options(options), deps));
  const std::string digest = TRY(image.output("image")).tagged(), tag = TRY(json_string(image.record().result, "tag", "image step"));
  output.result({{"digest", digest}, {"tag", tag}, {"layout", session->workspace().layout().images().string()}},
                fmt::format("{} {}\nread it with: skopeo inspect oci:{}:{}", tag, digest, session->workspace().layout().images().string(), tag));
  return 0;
}

Result<int> scan(Invocation& invocation, const Options& options, const Output& output) {
  auto session = TRY(Session::open(invocation.global));
  auto* images = TRY(session->images());
  const auto image = TRY(images->resolve(options.reference));
  auto packages = TRY(stages::image::packages_of_sbom(TRY(sbom_of(*session, image.digest))));
  const auto report = TRY(stages::image::scan(std::move(packages), scan_options(options), session->clock().now()));
  Table table{{"SEVERITY", "ID", "PACKAGE", "INSTALLED", "FIXED"}, {}};
  for (const auto& finding : report.findings) table.rows.push_back({finding.severity, finding.id, finding.package, finding.installed, finding.fixed});
  std::string feeds;
  for (const auto& feed : report.feeds) feeds += fmt::format("{}: {} records, dated {}\n", feed.name, feed.records, to_rfc3339(feed.dated));
  output.result(report.to_json(), fmt::format("{}{} packages, {} findings\n{}", report.findings.empty() ? "" : render(table), report.packages.size(), report.findings.size(), feeds));
  return report.blocked ? exit_code_of(ErrorCode::gate_refused) : 0;
}

Result<int> sbom(Invocation& invocation, const Options& options, const Output& output) {
  auto session = TRY(Session::open(invocation.global));
  auto* images = TRY(session->images());
  const Json json = TRY(sbom_of(*session, TRY(images->resolve(options.reference)).digest));
  output.result(json, json.dump(2));
  return 0;
}

Result<int> list(Invocation& invocation, const Output& output) {
  auto session = TRY(Session::open(invocation.global));
  Json values = Json::array();
  Table table{{"TAG", "DIGEST"}, {}};
  auto* images = TRY(session->images());
  for (const auto& [tag, image] : TRY(images->list())) {
    values.push_back({{"tag", tag}, {"digest", image.digest.tagged()}});
    table.rows.push_back({tag, image.digest.tagged()});
  }
  output.result(values, render(table));
  return 0;
}

}  // namespace

void add_image_commands(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<Options>();
  CLI::App* group = app.add_subcommand("image", "The engine's image: build, scan, SBOM")->require_subcommand(1);
  const auto add = [&](const char* name, const char* help, auto body) {
    return add_command(*group, invocation, name, help, [&invocation, options, body](const Output& output) { return body(invocation, *options, output); });
  };
  CLI::App* build_command = add("build", "Builds and scans it; the same files give the same digest", build);
  build_command->add_option("--name", options->name, "the image's name");
  build_command->add_option("--osv", options->osv, "folders or archives of OSV records");
  CLI::App* scan_command = add("scan", "Its packages against the advisories; exit status 3 on a critical or high finding", scan);
  scan_command->add_option("image", options->reference, "tag or digest")->required();
  scan_command->add_option("--osv", options->osv, "folders or archives of OSV records");
  add("sbom", "Its software bill of materials, CycloneDX 1.6", sbom)->add_option("image", options->reference, "tag or digest")->required();
  add_command(*group, invocation, "list", "Tags and digests", [&invocation](const Output& output) { return list(invocation, output); });
}

}  // namespace redoubt::cli
