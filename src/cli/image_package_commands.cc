// SPDX-License-Identifier: Apache-2.0
//
// redoubt image scan, sbom, db update; model sbom: what is in an image or a model, and what is known to be wrong with it.
#include <fmt/format.h>

#include "advisories/download.h"
#include "advisories/ecr.h"
#include "advisories/vex.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/image_check.h"
#include "cli/report_format.h"
#include "sbom/sbom.h"
#include "stages/image/step.h"

namespace redoubt::cli {
namespace {

namespace fs = std::filesystem;
using advisories::ScanReport;

struct ImagePackageOptions {
  std::string reference, platform = "linux/amd64", sbom_format = "cyclonedx";
  std::string apt_lists = "/var/lib/apt/lists";
  std::vector<std::string> osv, tracker, epss, kev, vex;
  std::string vex_until;
  ReportFormat format;
  bool no_apt = false, allow_uncovered = false, allow_exploited = false, ecr = false;
  double epss_block = 0;
  int age_days_max = 14;
  // of db update
  std::string base_url, ca_file;
  std::vector<std::string> ecosystems;
  int download_gib_max = 4;
};

// Records of packages hold any bytes: "Maintainer: J\xf6rg".
std::string indented(const Json& document) { return document.dump(2, ' ', false, Json::error_handler_t::replace); }

// A workspace where there is one: files on the disk can be looked at without.
Result<std::unique_ptr<Session>> session_for(Invocation& invocation, bool is_on_disk) {
  auto session = Session::open(invocation.global);
  if (!session && is_on_disk && session.error().code == ErrorCode::not_found) return std::unique_ptr<Session>();
  return session;
}

Result<packages::ImageReading> read_reference(Session* session, const ImagePackageOptions& options) {
  const auto platform = TRY(packages::parse_platform(options.platform));
  // A tag of the store is meant before a folder that happens to have its name.
  if (session != nullptr && !options.reference.empty()) {
    auto stored = read_stored_image(*session, options.reference, platform);
    if (stored || !packages::is_on_disk(options.reference) || stored.error().code == ErrorCode::tampered) return stored;
  }
  return packages::read_image_on_disk(options.reference, platform);
}

advisories::DatabaseSources sources_of(const ImagePackageOptions& options) {
  advisories::DatabaseSources sources{!options.no_apt, options.apt_lists, {}, {}, {}, {}};
  for (const auto& path : options.osv) sources.osv.emplace_back(path);
  for (const auto& path : options.tracker) sources.debian_tracker.emplace_back(path);
  for (const auto& path : options.epss) sources.epss.emplace_back(path);
  for (const auto& path : options.kev) sources.kev.emplace_back(path);
  return sources;
}

// What a VEX document of the command line accepts.
Result<std::vector<advisories::AcceptedFinding>> accepted_by_vex(const ImagePackageOptions& options, const packages::ImageReading& reading) {
  std::optional<TimePoint> until;
  if (!options.vex_until.empty()) until = TRY(advisories::parse_end_date(options.vex_until, "--vex-until"));
  std::vector<advisories::AcceptedFinding> accepted;
  for (const auto& path : options.vex) {
    for (auto& each : TRY(advisories::read_vex(TRY(read_text_file(path, 64 << 20)), path, {reading.name, reading.digest}, until))) accepted.push_back(std::move(each));
  }
  return accepted;
}

bool has_debian(const packages::Inventory& inventory) {
  return std::any_of(inventory.packages.begin(), inventory.packages.end(), [](const auto& package) { return package.ecosystem.starts_with("Debian"); });
}

// The feeds of the command line, of the machine and of the database. The machine's lists count for Debian's packages alone, and may be missing where something else
// knows of them.
Result<advisories::AdvisorySet> advisories_for(Session* session, const packages::Inventory& inventory, const ImagePackageOptions& options) {
  auto sources = sources_of(options);
  sources.apt_security = sources.apt_security && has_debian(inventory);
  std::shared_ptr<const advisories::AdvisorySet> database;
  if (session != nullptr) database = TRY(advisory_database(*session));
  auto read = advisories::read_sources(sources);
  const bool has_other = (database && !database->feeds().empty()) || !sources.osv.empty() || !sources.debian_tracker.empty();
  if (!read && sources.apt_security && read.error().code == ErrorCode::not_found && has_other) {
    sources.apt_security = false;
    read = advisories::read_sources(sources);
  }
  advisories::AdvisorySet set = TRY(std::move(read));
  if (database) set.add(*database);
  return set;
}

Result<ScanReport> scan_reading(Session* session, packages::ImageReading& reading, const ImagePackageOptions& options) {
  const TimePoint now = session != nullptr ? session->clock().now() : SystemClock().now();
  const auto set = TRY(advisories_for(session, reading.inventory, options));
  TRY(advisories::check_age(set.feeds(), options.age_days_max, now));
  const bool is_engine = std::any_of(reading.inventory.packages.begin(), reading.inventory.packages.end(), [](const auto& package) { return package.ecosystem.empty() && package.name == "redoubt-engine"; });
  advisories::ScanPolicy policy;
  policy.block_exploited = !options.allow_exploited;
  policy.epss_block = options.epss_block;
  // The engine's image was built under the pipeline's own feeds; of all others nothing may stay unknown.
  policy.block_uncovered = !options.allow_uncovered && !is_engine;
  if (reading.inventory.packages.empty()) {
    reading.inventory.problems.push_back({reading.name, "no package was found, so nobody can tell what is in it"});
  }
  auto report = TRY(advisories::scan_inventory(std::move(reading.inventory), set, TRY(accepted_by_vex(options, reading)), now, policy));
  const bool is_known = report.packages.empty() || std::any_of(report.packages.begin(), report.packages.end(), [&](const auto& package) { return set.covers(package.ecosystem); });
  if (!is_known && !options.allow_uncovered) {
    return fail(ErrorCode::not_found, fmt::format("no feed knows of any package of the image: {}", fmt::join(report.uncovered, ", ")), "advisory feeds", "load their advisories with 'redoubt image db update', or name them with --osv");
  }
  return report;
}

std::string finding_note(const advisories::Finding& finding) {
  std::string note = finding.accepted ? fmt::format("accepted until {}: {}", finding.accepted_until, finding.accepted_reason) : "";
  if (!finding.exploited_since.empty()) note = (finding.ransomware ? "exploited (ransomware) since " : "exploited since ") + finding.exploited_since + (note.empty() ? "" : "; " + note);
  return note;
}

std::string scan_table(const ScanReport& report) {
  Table table{{"SEVERITY", "CVSS", "EPSS", "ID", "PACKAGE", "INSTALLED", "FIXED", "NOTE"}, {}};
  for (const auto& finding : report.findings) {
    table.rows.push_back({finding.severity, finding.cvss > 0 ? fmt::format("{:.1f}", finding.cvss) : "-", finding.epss ? fmt::format("{:.3f}", *finding.epss) : "-", finding.id, finding.package,
                          finding.installed, finding.fixed.empty() ? "-" : finding.fixed, finding_note(finding)});
  }
  std::string text = report.findings.empty() ? "" : render(table);
  text += fmt::format("{} packages, {} findings\n", report.packages.size(), report.findings.size());
  for (const auto& feed : report.feeds) text += fmt::format("{}: {} records, dated {}, {} days old\n", feed.name, feed.records, to_rfc3339(feed.dated), feed.age_days(report.scanned));
  return text;
}

sarif::Report sarif_of(const ScanReport& report) {
  sarif::Report log;
  for (const auto& finding : report.findings) {
    if (finding.accepted) continue;
    sarif::Finding one;
    one.rule = finding.id;
    one.severity = finding.severity;
    one.message = fmt::format("{} {}: {} ({}){}", finding.package, finding.installed, finding.id, finding.severity, finding.fixed.empty() ? ", no fix is known" : ", fixed in " + finding.fixed);
    one.path = finding.places.empty() ? "" : finding.places.front();
    one.member = finding.purl;
    one.properties = {{"purl", finding.purl}, {"installed", finding.installed}, {"fixed", finding.fixed}, {"cvss", finding.cvss}, {"aliases", finding.aliases}, {"exploited", !finding.exploited_since.empty()}};
    log.rules.push_back({finding.id, finding.id + " in " + finding.package, finding.fixed.empty() ? "" : "Update " + finding.package + " to " + finding.fixed + ".", finding.severity});
    log.findings.push_back(std::move(one));
  }
  return log;
}

void warn(const ScanReport& report, const ImagePackageOptions& options, const Output& output) {
  for (const auto& ecosystem : report.uncovered) {
    output.say(fmt::format("no feed knows of packages of {}: what is wrong with them was not looked up{}", ecosystem, options.allow_uncovered ? "" : " (--allow-uncovered lets them pass)"));
  }
  for (const auto& problem : report.problems) output.say(fmt::format("{}: {}", problem.place, problem.detail));
  if (!report.unversioned.empty()) output.say(fmt::format("{} packages have no version, so nothing can be said of them; the first: {}", report.unversioned.size(), report.unversioned.front()));
}

Result<int> scan_packages(Invocation& invocation, const ImagePackageOptions& options, const Output& output) {
  const auto session = TRY(session_for(invocation, packages::is_on_disk(options.reference)));
  auto reading = TRY(read_reference(session.get(), options));
  const auto report = TRY(scan_reading(session.get(), reading, options));
  warn(report, options, output);
  if (options.ecr) {
    const auto colon = options.reference.rfind(':');
    const bool has_tag = colon != std::string::npos && options.reference.find('/', colon) == std::string::npos;
    const Json document = advisories::to_ecr(report, {"000000000000", options.reference.substr(0, has_tag ? colon : std::string::npos), has_tag ? options.reference.substr(colon + 1) : "", reading.digest});
    output.result(document, indented(document));
  } else {
    TRY(write_report(output, options.format, report.to_json(), scan_table(report), [&] { return sarif_of(report); }));
  }
  return report.blocked ? exit_code_of(ErrorCode::gate_refused) : 0;
}

Result<int> image_sbom(Invocation& invocation, const ImagePackageOptions& options, const Output& output) {
  const auto session = TRY(session_for(invocation, packages::is_on_disk(options.reference)));
  // The document that the ledger names is given as it is.
  if (session && options.sbom_format == "cyclonedx") {
    auto* images = TRY(session->images());
    if (const auto image = images->resolve(options.reference)) {
      if (const auto kept = sbom_of(*session, image->digest)) {
        output.result(*kept, kept->dump(2));
        return 0;
      }
    }
  }
  const auto reading = TRY(read_reference(session.get(), options));
  const sbom::Subject subject{reading.name, "", reading.digest};
  const TimePoint now = session ? session->clock().now() : SystemClock().now();
  const Json json = options.sbom_format == "spdx" ? sbom::to_spdx(subject, reading.inventory, reading.distribution, now) : sbom::to_cyclonedx(subject, reading.inventory, reading.distribution);
  for (const auto& problem : reading.inventory.problems) output.say(fmt::format("{}: {}", problem.place, problem.detail));
  output.result(json, indented(json));
  return reading.inventory.problems.empty() ? 0 : 1;
}

bool is_feed_address(const std::string& text) { return text.find("://") != std::string::npos; }

// The feeds that are named by an address, and the rest, which are files.
std::vector<advisories::RemoteFeed> remote_feeds(const ImagePackageOptions& options) {
  using advisories::RemoteFeed;
  std::vector<RemoteFeed> remote;
  for (const auto& ecosystem : options.ecosystems) remote.push_back(advisories::osv_dump(options.base_url.empty() ? advisories::kOsvAddress : options.base_url, ecosystem));
  const auto add = [&](const std::vector<std::string>& list, RemoteFeed::Kind kind, const char* name) {
    for (const auto& each : list) {
      if (is_feed_address(each)) remote.push_back({kind, each, kind == RemoteFeed::Kind::osv ? "OSV " + fs::path(http::without_query(each)).filename().string() : name});
    }
  };
  add(options.osv, RemoteFeed::Kind::osv, "");
  add(options.tracker, RemoteFeed::Kind::debian_tracker, advisories::kTrackerFeed);
  add(options.epss, RemoteFeed::Kind::epss, advisories::kEpssFeed);
  add(options.kev, RemoteFeed::Kind::kev, advisories::kKevFeed);
  return remote;
}

ImagePackageOptions without_addresses(ImagePackageOptions options) {
  for (auto* list : {&options.osv, &options.tracker, &options.epss, &options.kev}) std::erase_if(*list, is_feed_address);
  return options;
}

Result<std::vector<advisories::KeptFeed>> load_feeds(Session& session, const ImagePackageOptions& options, Invocation& invocation) {
  const advisories::KeepBlob keep = [&](Source& index) { return session.store().put_blob(index); };
  // A database of an earlier version, or one that is damaged, is replaced; nothing of it can be used again.
  const auto earlier = kept_feeds(session).value_or(std::vector<advisories::KeptFeed>());
  const auto sources = sources_of(without_addresses(options));
  const bool has_files = sources.apt_security || !sources.osv.empty() || !sources.debian_tracker.empty() || !sources.epss.empty() || !sources.kev.empty();
  std::vector<advisories::KeptFeed> feeds;
  if (has_files) feeds = TRY(advisories::load_sources(sources, keep));
  advisories::DownloadOptions download;
  download.client.ca_file = options.ca_file;
  download.bytes_max = static_cast<std::uint64_t>(options.download_gib_max) << 30;
  for (const auto& remote : remote_feeds(options)) {
    invocation.progress.begin(remote.name, 0, "bytes");
    auto done = TRY(advisories::download_feed(remote, download, earlier, [&](const Digest& blob) { return session.store().has_blob(blob); }, keep, session.clock().now()));
    invocation.progress.end();
    feeds.push_back(std::move(done.feed));
  }
  if (feeds.empty()) return fail(ErrorCode::invalid_argument, "no feed is named", "--osv, --ecosystem", "name files or addresses of feeds, or leave out --no-apt");
  return feeds;
}

Result<int> update_database(Invocation& invocation, const ImagePackageOptions& options, const Output& output) {
  if (!options.base_url.empty() && options.ecosystems.empty()) return fail(ErrorCode::invalid_argument, "an address without an ecosystem", "--url", "name them: --ecosystem PyPI --ecosystem npm");
  auto session = TRY(Session::open(invocation.global, Duty::image));
  TRY(session->require(governance::Permission::run_pipeline));
  const auto lock = TRY(session->workspace().lock());
  const auto kept = TRY(load_feeds(*session, options, invocation));
  const std::string text = advisories::to_text(kept);
  MemorySource source(view_of(text));
  const Digest digest = TRY(session->store().put_blob(source));
  Json feeds = Json::array();
  std::map<std::string, Digest> outputs = {{"advisories", digest}};
  Table table{{"FEED", "RECORDS", "DATED", "DAYS OLD", "SOURCE"}, {}};
  const TimePoint now = session->clock().now();
  for (std::size_t i = 0; i < kept.size(); ++i) {
    const auto& [feed, path, feed_digest, blob, etag, modified] = kept[i];
    feeds.push_back({{"name", feed.name}, {"records", feed.records}, {"dated", to_rfc3339(feed.dated)}, {"age_days", feed.age_days(now)}, {"source", path}, {"digest", feed_digest.tagged()}});
    outputs.emplace(fmt::format("feed-{}", i + 1), blob);
    table.rows.push_back({feed.name, std::to_string(feed.records), to_rfc3339(feed.dated), std::to_string(feed.age_days(now)), path});
  }
  const Json facts = {{"digest", digest.tagged()}, {"feeds", feeds}};
  TRY(session->record_event("advisories", facts, outputs));
  output.result(facts, render(table));
  return 0;
}

Result<int> model_sbom(const std::string& folder, const Output& output) {
  const Json json = TRY(sbom::model_to_cyclonedx(folder));
  output.result(json, indented(json));
  return 0;
}

// What `scan` and `db update` are both told.
void add_feed_options(CLI::App& command, ImagePackageOptions& options) {
  command.add_option("--osv", options.osv, "folder or archive of OSV records; for db update also an https address");
  command.add_option("--tracker", options.tracker, "JSON of Debian's security tracker");
  command.add_option("--epss", options.epss, "EPSS scores, CSV, plain or gzip");
  command.add_option("--kev", options.kev, "CISA's list of exploited vulnerabilities, JSON");
  command.add_option("--apt-lists", options.apt_lists, "folder of apt's package lists");
  command.add_flag("--no-apt", options.no_apt, "without the lists of Debian's security suite");
}

void add_scan_options(CLI::App& command, ImagePackageOptions& options) {
  command.add_option("--vex", options.vex, "VEX document (OpenVEX, CycloneDX): accepts findings with a reason until a day");
  command.add_option("--vex-until", options.vex_until, "that day, for documents that name none: 2026-12-31");
  command.add_option("--epss-block", options.epss_block, "an open finding with at least this EPSS score blocks, whatever its severity")->check(CLI::Range(0.0, 1.0));
  command.add_flag("--allow-exploited", options.allow_exploited, "a finding that KEV lists blocks by its severity alone");
  command.add_flag("--allow-uncovered", options.allow_uncovered, "packages that no feed knows of, and records that can't be read, do not block");
  command.add_option("--feed-age-days", options.age_days_max, "a feed older than this is refused (14)")->check(CLI::Range(1, 365));
  add_report_format(command, options.format);
  command.add_flag("--ecr", options.ecr, "as Amazon ECR's DescribeImageScanFindings answers");
  command.add_option("--platform", options.platform, "of an index of several: linux/amd64");
}

}  // namespace

void add_image_package_commands(CLI::App& group, Invocation& invocation) {
  auto options = std::make_shared<ImagePackageOptions>();
  const char* const reference = "tag or digest; or an OCI layout (DIR[:TAG]), an archive of 'docker save', an unpacked root folder";
  CLI::App* scan_command = add_command(group, invocation, "scan", "Its packages against the advisories; exit status 3 on a critical, high or exploited finding",
                                       [&invocation, options](const Output& output) { return scan_packages(invocation, *options, output); });
  scan_command->add_option("image", options->reference, reference)->required();
  add_feed_options(*scan_command, *options);
  add_scan_options(*scan_command, *options);
  CLI::App* sbom_command = add_command(group, invocation, "sbom", "Its software bill of materials: CycloneDX 1.6 or SPDX 2.3",
                                       [&invocation, options](const Output& output) { return image_sbom(invocation, *options, output); });
  sbom_command->add_option("image", options->reference, reference)->required();
  sbom_command->add_option("--format", options->sbom_format, "cyclonedx or spdx")->check(CLI::IsMember({"cyclonedx", "spdx"}));
  sbom_command->add_option("--platform", options->platform, "of an index of several: linux/amd64");
  CLI::App* database = group.add_subcommand("db", "The advisory database that scans use beside the machine's own lists")->require_subcommand(1);
  CLI::App* update = add_command(*database, invocation, "update", "Reads the feeds into the workspace, with their dates and digests on record",
                                 [&invocation, options](const Output& output) { return update_database(invocation, *options, output); });
  add_feed_options(*update, *options);
  update->add_option("--ecosystem", options->ecosystems, "OSV dumps to download: PyPI, npm, Go, Maven, crates.io, Debian, ...");
  update->add_option("--url", options->base_url, std::string("address of the dumps, ECOSYSTEM/all.zip below it; else ") + advisories::kOsvAddress);
  update->add_option("--ca", options->ca_file, "PEM file of the authority that signed the server's certificate; else the system's");
  update->add_option("--download-gib-max", options->download_gib_max, "a larger feed is refused (4)")->check(CLI::Range(1, 64));
}

void add_model_sbom_command(CLI::App& group, Invocation& invocation) {
  auto folder = std::make_shared<std::string>();
  add_command(group, invocation, "sbom", "Its bill of materials: CycloneDX 1.6 with a model card", [folder](const Output& output) { return model_sbom(*folder, output); })
      ->add_option("folder", *folder, "a model or an adapter in Hugging Face's layout")
      ->required();
}

}  // namespace redoubt::cli
