// SPDX-License-Identifier: Apache-2.0
#include "stages/image/step.h"

#include <fmt/format.h>

#include <algorithm>

#include "sbom/sbom.h"

namespace redoubt::stages::image {
namespace {

constexpr int kFeedAgeDaysMax = 365;  // as config/schema/redoubt.schema.json has it

Status refuse_blocked(const ScanReport& report) {
  if (!report.blocked) return {};
  for (const auto& finding : report.findings) {
    if (finding.accepted) continue;
    const auto open = report.open_by_severity();
    return fail(ErrorCode::gate_refused,
                fmt::format("the image has {} critical and {} high vulnerabilities; the first: {} in {} {} ({})", open.at("critical"), open.at("high"),
                            finding.id, finding.package, finding.installed, finding.severity),
                finding.package,
                finding.fixed.empty() ? "no fix is known; accept it under image.accepted_findings with a reason and an end date, if you can"
                                      : fmt::format("update {} to {} and build again", finding.package, finding.fixed));
  }
  return fail(ErrorCode::internal, "a blocked scan without a finding");
}

Result<governance::StepProduct> make(const BuildOptions& options, const ImageContents& contents, const ScanOptions& scan_options, StepDeps& deps) {
  ScanReport report = TRY(scan({TRY(find_packages(options, contents)), {}}, scan_options, deps.clock.now()));
  TRY(refuse_blocked(report));
  const BuiltFiles built = TRY(build_image(options, contents, deps.images, deps.progress));
  if (deps.registry_findings != nullptr) {
    advisories::add_findings(report, TRY(deps.registry_findings->read(built.manifest.digest)), scan_options.accepted, scan_options.policy);
    TRY(refuse_blocked(report));
  }
  const std::string sbom = dump_json(sbom::to_cyclonedx({"redoubt-engine", options.version, built.manifest.digest}, {report.packages, {}}));
  MemorySource source(view_of(sbom));
  governance::StepProduct product;
  const Digest sbom_digest = TRY(deps.store.put_blob(source));
  product.outputs = {{"image", built.manifest.digest}, {"sbom", sbom_digest}};
  product.result = {{"tag", built.tag}, {"packages", report.packages.size()}, {"vulnerabilities", report.open_by_severity()},
                    {"scanned", to_rfc3339(deps.clock.now())}};
  if (deps.registry_findings != nullptr) product.result["also_scanned_by"] = deps.registry_findings->scanner();
  return product;
}

}  // namespace

Result<ScanReport> scan(packages::Inventory inventory, const ScanOptions& options, TimePoint now) {
  advisories::DatabaseSources sources{options.apt_security, options.apt_lists, options.osv, {}, {}, {}};
  auto read = advisories::read_sources(sources);
  if (!read && options.apt_security && read.error().code == ErrorCode::not_found && options.database && options.database->has(advisories::kAptFeed)) {
    sources.apt_security = false;  // the database's list stands in for the machine's
    read = advisories::read_sources(sources);
  }
  advisories::AdvisorySet set = TRY(std::move(read));
  if (options.database) set.add(*options.database);
  TRY(advisories::check_age(set.feeds(), options.feed_age_days_max, now));
  auto report = TRY(advisories::scan_inventory(std::move(inventory), set, options.accepted, now, options.policy));
  const bool is_known = std::any_of(report.packages.begin(), report.packages.end(), [&](const auto& package) { return set.covers(package.ecosystem); });
  if (!is_known && !report.uncovered.empty()) {
    return fail(ErrorCode::not_found, "no feed knows of any package of the image: " + fmt::format("{}", fmt::join(report.uncovered, ", ")), "advisory feeds", "load their advisories with 'redoubt image db update'");
  }
  return report;
}

Json to_json(const ScanOptions& options) {
  Json osv = Json::array(), accepted = Json::array();
  for (const auto& path : options.osv) osv.push_back(path.string());
  for (const auto& each : options.accepted) accepted.push_back({{"id", each.id}, {"package", each.package}, {"reason", each.reason}, {"expires", to_rfc3339(each.expires)}});
  return {{"apt_security", options.apt_security}, {"osv", osv}, {"feed_age_days_max", options.feed_age_days_max}, {"accepted_findings", accepted}};
}

Result<ScanOptions> scan_options_from_json(const Json& value) {
  ScanOptions options;
  options.apt_security = TRY(json_bool(value, "apt_security", "scan"));
  const auto days = TRY(json_integer(value, "feed_age_days_max", "scan"));
  if (days < 1 || days > kFeedAgeDaysMax) return fail(ErrorCode::invalid_argument, fmt::format("not between 1 and {} days", kFeedAgeDaysMax), "scan: feed_age_days_max");
  options.feed_age_days_max = static_cast<int>(days);
  for (const auto& path : TRY(json_array(value, "osv", "scan"))) {
    if (!path.is_string()) return fail(ErrorCode::invalid_argument, "a path that is no string", "scan: osv");
    options.osv.emplace_back(path.get<std::string>());
  }
  options.accepted = TRY(AcceptedFinding::from_json(TRY(json_array(value, "accepted_findings", "scan"))));
  return options;
}

Result<governance::BuiltImage> build(const BuildOptions& build_options, const ScanOptions& scan_options, StepDeps& deps) {
  const ImageContents contents = TRY(collect_contents(build_options, deps.progress));
  governance::StepPlan plan;
  plan.inputs = {{"contents", contents.digest}};
  plan.parameters = {{"name", build_options.name}, {"version", build_options.version}};
  return deps.recorder.run<governance::ImageStep>(plan, [&] { return make(build_options, contents, scan_options, deps); });
}

}  // namespace redoubt::stages::image
