// SPDX-License-Identifier: Apache-2.0
#include "cli/image_check.h"

#include "sbom/sbom.h"
#include "stages/image/step.h"

namespace redoubt::cli {
namespace {

constexpr std::uint64_t kDatabaseBytesMax = 64 << 20;  // of the list of feeds

}  // namespace

Result<Json> sbom_of(Session& session, const Digest& image) {
  for (const auto& entry : TRY(session.evidence().of_step(governance::ImageStep::kName))) {
    const auto record = TRY(attest::to_step_record(entry.statement));
    const auto built = record.outputs.find("image"), sbom = record.outputs.find("sbom");
    if (built == record.outputs.end() || sbom == record.outputs.end() || built->second != image) continue;
    return parse_json(to_text(TRY(session.store().read_blob(sbom->second, 64 << 20))), "SBOM");
  }
  return fail(ErrorCode::not_found, "no image step of this workspace built this image", image.tagged());
}

Result<std::vector<advisories::KeptFeed>> kept_feeds(Session& session) {
  const auto entries = TRY(session.evidence().of_step("advisories"));
  if (entries.empty()) return std::vector<advisories::KeptFeed>();
  const auto record = TRY(attest::to_step_record(entries.back().statement));
  const auto blob = record.outputs.find("advisories");
  if (blob == record.outputs.end()) return fail(ErrorCode::tampered, "the newest advisories name no database", entries.back().digest.tagged());
  auto bytes = session.store().read_blob(blob->second, kDatabaseBytesMax);
  if (!bytes && bytes.error().code == ErrorCode::not_found) {
    return fail(ErrorCode::tampered, "the advisory database was taken away", blob->second.tagged(), "run 'redoubt image db update'");
  }
  // Earlier versions kept all of it in one document.
  if (!bytes && bytes.error().code == ErrorCode::limit_exceeded) return fail(ErrorCode::unsupported, "a database of another version", blob->second.tagged(), "run 'redoubt image db update'");
  if (!bytes) return fail(bytes.error());
  return advisories::parse_database(text_of(*bytes));
}

Result<std::shared_ptr<const advisories::AdvisorySet>> advisory_database(Session& session) {
  const auto feeds = TRY(kept_feeds(session));
  if (feeds.empty()) return nullptr;
  auto set = TRY(advisories::open_database(feeds, [&](const Digest& digest) -> Result<std::shared_ptr<const RandomAccess>> {
    return std::shared_ptr<const RandomAccess>(TRY(session.store().open_blob(digest)));
  }));
  return std::make_shared<const advisories::AdvisorySet>(std::move(set));
}

Result<packages::ImageReading> read_stored_image(Session& session, const std::string& reference, const packages::Platform& platform) {
  auto* images = TRY(session.images());
  const auto image = TRY(images->resolve(reference));
  packages::ImageReading reading;
  if (auto sbom = sbom_of(session, image.digest)) {
    reading.inventory.packages = TRY(sbom::packages_of_cyclonedx(*sbom));
    reading.digest = image.digest;
  } else if (sbom.error().code == ErrorCode::not_found) {
    reading = TRY(packages::read_image([&](const Digest& digest) { return images->open_blob(digest); }, image.digest, platform));
  } else {
    return fail(sbom.error());
  }
  reading.name = reference;
  return reading;
}

Result<advisories::ScanReport> rescan_image(Session& session, const Digest& image, const Json& options) {
  auto reading = TRY(read_stored_image(session, image.tagged(), {}));
  auto scan_options = TRY(stages::image::scan_options_from_json(options));
  scan_options.database = TRY(advisory_database(session));
  auto report = TRY(stages::image::scan(std::move(reading.inventory), scan_options, session.clock().now()));
  if (auto* findings = TRY(session.registry_findings()); findings != nullptr) advisories::add_findings(report, TRY(findings->read(image)), scan_options.accepted, scan_options.policy);
  return report;
}

Result<stages::deploy::ScanFacts> scan_image(Session& session, const Digest& image, const Json& options) {
  const auto report = TRY(rescan_image(session, image, options));
  return stages::deploy::ScanFacts{report.scanned, report.open_by_severity()};
}

}  // namespace redoubt::cli
