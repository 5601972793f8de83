// SPDX-License-Identifier: Apache-2.0
//
// redoubt image: build, scan, sbom, push, db update, list.
#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/engine_image.h"
#include "cli/image_check.h"
#include "cli/prompt.h"
#include "stages/image/push.h"
#include "stages/image/step.h"

namespace redoubt::cli {
namespace {

struct Options {
  std::string reference, name = "redoubt-engine";
  std::vector<std::string> osv;
  std::string apt_lists = "/var/lib/apt/lists";
  bool no_apt = false;
  std::string url, ca_file, login_secret, login_file;  // of push
};

Result<stages::image::ScanOptions> scan_options(Session& session, const Options& options) {
  stages::image::ScanOptions scan;
  for (const auto& path : options.osv) scan.osv.emplace_back(path);
  scan.apt_lists = options.apt_lists;
  scan.database = TRY(advisory_database(session));
  return scan;
}

Result<int> build(Invocation& invocation, const Options& options, const Output& output) {
  auto session = TRY(Session::open(invocation.global, Duty::image));
  TRY(session->require(governance::Permission::run_pipeline));
  const auto lock = TRY(session->workspace().lock());
  stages::image::StepDeps deps{session->store(), *TRY(session->images()), *TRY(session->recorder()), session->clock(), invocation.progress, TRY(session->registry_findings())};
  const auto image = TRY(stages::image::build({TRY(find_engine()), options.name, REDOUBT_VERSION}, TRY(scan_options(*session, options)), deps));
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
  const auto report = TRY(stages::image::scan(std::move(packages), TRY(scan_options(*session, options)), session->clock().now()));
  Table table{{"SEVERITY", "ID", "PACKAGE", "INSTALLED", "FIXED"}, {}};
  for (const auto& finding : report.findings) table.rows.push_back({finding.severity, finding.id, finding.package, finding.installed, finding.fixed});
  std::string feeds;
  for (const auto& feed : report.feeds) feeds += fmt::format("{}: {} records, dated {}, {} days old\n", feed.name, feed.records, to_rfc3339(feed.dated), feed.age_days(report.scanned));
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

Result<int> update_database(Invocation& invocation, const Options& options, const Output& output) {
  auto session = TRY(Session::open(invocation.global, Duty::image));
  TRY(session->require(governance::Permission::run_pipeline));
  const auto lock = TRY(session->workspace().lock());
  stages::image::DatabaseSources sources{!options.no_apt, options.apt_lists, {}};
  for (const auto& path : options.osv) sources.osv.emplace_back(path);
  const auto database = TRY(stages::image::load_database(sources));
  const std::string text = stages::image::to_text(database.advisories);
  MemorySource source(view_of(text));
  const Digest digest = TRY(session->store().put_blob(source));
  Json feeds = Json::array();
  Table table{{"FEED", "RECORDS", "DATED", "DAYS OLD", "SOURCE"}, {}};
  const TimePoint now = session->clock().now();
  for (const auto& [feed, path, feed_digest] : database.loaded) {
    feeds.push_back({{"name", feed.name}, {"records", feed.records}, {"dated", to_rfc3339(feed.dated)}, {"age_days", feed.age_days(now)}, {"source", path}, {"digest", feed_digest.tagged()}});
    table.rows.push_back({feed.name, std::to_string(feed.records), to_rfc3339(feed.dated), std::to_string(feed.age_days(now)), path});
  }
  const Json facts = {{"digest", digest.tagged()}, {"feeds", feeds}};
  TRY(session->record_event("advisories", facts, {{"advisories", digest}}));
  output.result(facts, render(table));
  return 0;
}

// What follows the last ':' of the image's tag in the store.
Result<std::string> tag_here(provider::ImageStore& images, const Digest& image) {
  for (const auto& [tag, descriptor] : TRY(images.list())) {
    const auto colon = tag.rfind(':');
    if (descriptor.digest == image && colon != tag.npos && colon + 1 < tag.size()) return tag.substr(colon + 1);
  }
  return fail(ErrorCode::invalid_argument, "the URL names no tag, and the image has none here", image.tagged(), "write the URL as https://HOST/REPOSITORY:TAG");
}

Result<provider::registry::RegistryLogin> login_of(Session& session, const Options& options) {
  if (!options.login_secret.empty()) return provider::registry::RegistryLogin{TRY(session.secrets().get(options.login_secret))};
  if (!options.login_file.empty()) return provider::registry::RegistryLogin{TRY(read_secret_file(options.login_file))};
  return provider::registry::RegistryLogin{};
}

Result<int> push(Invocation& invocation, const Options& options, const Output& output) {
  auto reference = TRY(provider::registry::parse_remote_reference(options.url));
  auto session = TRY(Session::open(invocation.global, Duty::image));
  TRY(session->require(governance::Permission::deploy));
  auto* images = TRY(session->images());
  const auto image = TRY(images->resolve(options.reference));
  if (reference.tag.empty()) reference = TRY(provider::registry::parse_remote_reference(options.url + ":" + TRY(tag_here(*images, image.digest))));
  http::ClientOptions client;
  client.ca_file = options.ca_file;
  auto registry = TRY(provider::registry::RegistryClient::open(client, reference, TRY(login_of(*session, options))));
  const auto report = TRY(stages::image::push_image(*images, image, registry, reference, invocation.progress));
  const Json facts = {{"digest", report.digest.tagged()}, {"reference", report.reference}, {"unchanged", report.unchanged},
                      {"blobs_sent", report.blobs_sent}, {"blobs_present", report.blobs_present}, {"bytes_sent", report.bytes_sent}};
  if (!report.unchanged) TRY(session->record_event("push", facts));
  output.result(facts, report.unchanged ? fmt::format("{} is there already: {}", report.reference, report.digest.tagged())
                                        : fmt::format("{} {}\n{} blobs sent, {} were there", report.reference, report.digest.tagged(), report.blobs_sent, report.blobs_present));
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
  scan_command->add_option("--apt-lists", options->apt_lists, "folder of apt's package lists");
  add("sbom", "Its software bill of materials, CycloneDX 1.6", sbom)->add_option("image", options->reference, "tag or digest")->required();
  CLI::App* push_command = add("push", "Copies it to a registry over HTTPS; a tag there is never moved to another image", push);
  push_command->add_option("image", options->reference, "tag or digest")->required();
  push_command->add_option("url", options->url, "https://HOST[:PORT]/REPOSITORY[:TAG]")->required();
  push_command->add_option("--ca", options->ca_file, "PEM file of the authority that signed the registry's certificate; else the system's");
  auto* login_secret = push_command->add_option("--login-secret", options->login_secret, "name of a secret that holds USER:PASSWORD or a bearer token");
  push_command->add_option("--login-file", options->login_file, "file that holds USER:PASSWORD or a bearer token")->excludes(login_secret);
  CLI::App* database = group->add_subcommand("db", "The advisory database that scans use beside the machine's own lists")->require_subcommand(1);
  CLI::App* update = add_command(*database, invocation, "update", "Reads the feeds into the workspace, with their dates and digests on record",
                                 [&invocation, options](const Output& output) { return update_database(invocation, *options, output); });
  update->add_option("--osv", options->osv, "folders or archives of OSV records");
  update->add_option("--apt-lists", options->apt_lists, "folder of apt's package lists");
  update->add_flag("--no-apt", options->no_apt, "without the lists of Debian's security suite");
  add_command(*group, invocation, "list", "Tags and digests", [&invocation](const Output& output) { return list(invocation, output); });
}

}  // namespace redoubt::cli
