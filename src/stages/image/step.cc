// SPDX-License-Identifier: Apache-2.0
#include "stages/image/step.h"

#include <fmt/format.h>

#include <algorithm>

#include "sbom/sbom.h"

namespace redoubt::stages::image {
namespace {

constexpr int kFeedAgeDaysMax = 365;  // as config/schema/redoubt.schema.json has it
constexpr const char* kPlace = "scan";

Json strings_of(const std::vector<std::filesystem::path>& paths) {
  Json list = Json::array();
  for (const auto& path : paths) list.push_back(path.string());
  return list;
}

Result<std::vector<std::filesystem::path>> paths_of(const Json& value, const char* key) {
  std::vector<std::filesystem::path> paths;
  for (const auto& path : TRY(json_array(value, key, kPlace))) {
    if (!path.is_string()) return fail(ErrorCode::invalid_argument, "a path that is no string", std::string("scan: ") + key);
    paths.emplace_back(path.get<std::string>());
  }
  return paths;
}

// Why a finding blocks that its severity would not.
std::string beside_severity(const advisories::Finding& finding) {
  if (!finding.exploited_since.empty()) return "; exploited since " + finding.exploited_since;
  return finding.epss ? fmt::format("; EPSS {:.3f}", *finding.epss) : "";
}

Status refuse_blocked(const ScanReport& report, const advisories::ScanPolicy& policy) {
  if (!report.blocked) return {};
  for (const auto& finding : report.findings) {
    if (!advisories::blocks(finding, policy)) continue;
    const auto open = report.open_by_severity();
    return fail(ErrorCode::gate_refused,
                fmt::format("the image has {} critical and {} high vulnerabilities, {} known to be exploited; the first that blocks: {} in {} {} ({}{})", open.at("critical"), open.at("high"),
                            report.open_exploited(), finding.id, finding.package, finding.installed, finding.severity, beside_severity(finding)),
                finding.package,
                finding.fixed.empty() ? "no fix is known; accept it by a VEX document (image.vex) or under image.accepted_findings with a reason and an end date, if you can"
                                      : fmt::format("update {} to {} and build again", finding.package, finding.fixed));
  }
  return fail(ErrorCode::internal, "a blocked scan without a finding");
}

Result<governance::StepProduct> make(const BuildOptions& options, const ImageContents& contents, const ScanOptions& scan_options, StepDeps& deps) {
  const advisories::VexSubject subject{tag_of(options, contents), std::nullopt};
  packages::Inventory inventory;
  inventory.packages = TRY(find_packages(options, contents));
  ScanReport report = TRY(scan(std::move(inventory), scan_options, subject, deps.clock.now()));
  TRY(refuse_blocked(report, scan_options.policy));
  const BuiltFiles built = TRY(build_image(options, contents, deps.images, deps.progress));
  if (deps.registry_findings != nullptr) {
    const auto accepted = TRY(accepted_findings(scan_options, {built.tag, built.manifest.digest}));
    advisories::add_findings(report, TRY(deps.registry_findings->read(built.manifest.digest)), accepted, scan_options.policy);
    TRY(refuse_blocked(report, scan_options.policy));
  }
  const std::string sbom = dump_json(sbom::to_cyclonedx({"redoubt-engine", options.version, built.manifest.digest}, {report.packages, {}}));
  MemorySource source(view_of(sbom));
  governance::StepProduct product;
  const Digest sbom_digest = TRY(deps.store.put_blob(source));
  product.outputs = {{"image", built.manifest.digest}, {"sbom", sbom_digest}};
  for (std::size_t i = 0; i < scan_options.vex.size(); ++i) {
    MemorySource text(view_of(scan_options.vex[i].text));
    const Digest kept = TRY(deps.store.put_blob(text));
    product.outputs.emplace(fmt::format("vex-{}", i + 1), kept);
  }
  product.result = {{"tag", built.tag}, {"packages", report.packages.size()}, {"vulnerabilities", report.open_by_severity()}, {"exploited", report.open_exploited()},
                    {"scanned", to_rfc3339(deps.clock.now())}, {"accepted", report.accepted()}, {"vex", to_json(scan_options.vex)}};
  if (deps.registry_findings != nullptr) product.result["also_scanned_by"] = deps.registry_findings->scanner();
  return product;
}

}  // namespace

Result<std::vector<AcceptedFinding>> accepted_findings(const ScanOptions& options, const advisories::VexSubject& image) {
  auto accepted = options.accepted;
  for (const auto& document : options.vex) {
    for (auto& each : TRY(advisories::read_vex(document.text, document.name, image, options.vex_until))) {
      each.origin = fmt::format("{} ({})", document.name, document.digest.tagged());
      accepted.push_back(std::move(each));
    }
  }
  return accepted;
}

Result<ScanReport> scan(packages::Inventory inventory, const ScanOptions& options, const advisories::VexSubject& image, TimePoint now) {
  const auto accepted = TRY(accepted_findings(options, image));
  advisories::DatabaseSources sources{options.apt_security, options.apt_lists, options.osv, options.debian_tracker, options.epss, options.kev};
  auto read = advisories::read_sources(sources);
  if (!read && options.apt_security && read.error().code == ErrorCode::not_found && options.database && options.database->has(advisories::kAptFeed)) {
    sources.apt_security = false;  // the database's list stands in for the machine's
    read = advisories::read_sources(sources);
  }
  advisories::AdvisorySet set = TRY(std::move(read));
  if (options.database) set.add(*options.database);
  TRY(advisories::check_age(set.feeds(), options.feed_age_days_max, now));
  auto report = TRY(advisories::scan_inventory(std::move(inventory), set, accepted, now, options.policy));
  const bool is_known = std::any_of(report.packages.begin(), report.packages.end(), [&](const auto& package) { return set.covers(package.ecosystem); });
  if (!is_known && !report.uncovered.empty()) {
    return fail(ErrorCode::not_found, "no feed knows of any package of the image: " + fmt::format("{}", fmt::join(report.uncovered, ", ")), "advisory feeds", "load their advisories with 'redoubt image db update'");
  }
  return report;
}

Json to_json(const std::vector<VexDocument>& documents) {
  Json list = Json::array();
  for (const auto& document : documents) list.push_back({{"name", document.name}, {"digest", document.digest.tagged()}});
  return list;
}

Json to_json(const ScanOptions& options) {
  Json accepted = Json::array();
  for (const auto& each : options.accepted) accepted.push_back({{"id", each.id}, {"package", each.package}, {"reason", each.reason}, {"expires", to_rfc3339(each.expires)}});
  return {{"apt_security", options.apt_security}, {"osv", strings_of(options.osv)}, {"debian_tracker", strings_of(options.debian_tracker)}, {"epss", strings_of(options.epss)},
          {"kev", strings_of(options.kev)}, {"feed_age_days_max", options.feed_age_days_max}, {"accepted_findings", accepted}, {"vex", to_json(options.vex)},
          {"vex_until", options.vex_until ? to_rfc3339(*options.vex_until) : ""}, {"block_exploited", options.policy.block_exploited}, {"epss_block", options.policy.epss_block}};
}

Result<ScanOptions> scan_options_from_json(const Json& value) {
  ScanOptions options;
  options.apt_security = TRY(json_bool(value, "apt_security", kPlace));
  const auto days = TRY(json_integer(value, "feed_age_days_max", kPlace));
  if (days < 1 || days > kFeedAgeDaysMax) return fail(ErrorCode::invalid_argument, fmt::format("not between 1 and {} days", kFeedAgeDaysMax), "scan: feed_age_days_max");
  options.feed_age_days_max = static_cast<int>(days);
  options.osv = TRY(paths_of(value, "osv"));
  options.accepted = TRY(AcceptedFinding::from_json(TRY(json_array(value, "accepted_findings", kPlace))));
  if (!value.contains("vex")) return options;
  options.debian_tracker = TRY(paths_of(value, "debian_tracker"));
  options.epss = TRY(paths_of(value, "epss"));
  options.kev = TRY(paths_of(value, "kev"));
  for (const auto& document : TRY(json_array(value, "vex", kPlace))) {
    const auto digest = TRY(Digest::parse(TRY(json_string(document, "digest", kPlace))));
    auto name = TRY(json_string(document, "name", kPlace));
    options.vex.push_back({std::move(name), digest});
  }
  if (const auto until = TRY(json_string(value, "vex_until", kPlace)); !until.empty()) options.vex_until = TRY(parse_rfc3339(until));
  options.policy.block_exploited = TRY(json_bool(value, "block_exploited", kPlace));
  options.policy.epss_block = TRY(json_number(value, "epss_block", kPlace));
  if (options.policy.epss_block < 0 || options.policy.epss_block > 1) return fail(ErrorCode::invalid_argument, "not between 0 and 1", "scan: epss_block");
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
