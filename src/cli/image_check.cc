// SPDX-License-Identifier: Apache-2.0
#include "cli/image_check.h"

#include "sbom/sbom.h"

namespace redoubt::cli {
namespace {

constexpr std::uint64_t kDatabaseBytesMax = 64 << 20;  // of the list of feeds
constexpr std::uint64_t kDocumentBytesMax = 64 << 20;

// The step that built an image; not_found for another.
Result<attest::StepRecord> step_that_built(Session& session, const Digest& image) {
  for (const auto& entry : TRY(session.evidence().of_step(governance::ImageStep::kName))) {
    auto record = TRY(attest::to_step_record(entry.statement));
    const auto built = record.outputs.find("image");
    if (built != record.outputs.end() && record.outputs.contains("sbom") && built->second == image) return record;
  }
  return fail(ErrorCode::not_found, "no image step of this workspace built this image", image.tagged());
}

// The documents are read as they were when the version was registered: what its file says today is another decision.
Status read_documents(Session& session, stages::image::ScanOptions& options) {
  for (auto& document : options.vex) {
    auto text = session.store().read_blob(document.digest, kDocumentBytesMax);
    if (!text && text.error().code == ErrorCode::not_found) return fail(ErrorCode::tampered, "a VEX document of this version was taken away: " + document.name, document.digest.tagged(), "restore it, or run the pipeline again");
    document.text = to_text(TRY(std::move(text)));
  }
  return {};
}

}  // namespace

Result<Json> sbom_of(Session& session, const Digest& image) {
  const auto record = TRY(step_that_built(session, image));
  return parse_json(to_text(TRY(session.store().read_blob(record.outputs.at("sbom"), 64 << 20))), "SBOM");
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

Result<CheckedImage> rescan_image(Session& session, const Digest& image, const Json& options) {
  auto reading = TRY(read_stored_image(session, image.tagged(), {}));
  CheckedImage checked;
  checked.options = TRY(stages::image::scan_options_from_json(options));
  TRY(read_documents(session, checked.options));
  checked.options.database = TRY(advisory_database(session));
  const auto built = step_that_built(session, image);
  const advisories::VexSubject subject{built ? json_or(built->result, "tag", "") : image.tagged(), image};
  checked.report = TRY(stages::image::scan(std::move(reading.inventory), checked.options, subject, session.clock().now()));
  if (auto* findings = TRY(session.registry_findings()); findings != nullptr) {
    const auto accepted = TRY(stages::image::accepted_findings(checked.options, subject));
    advisories::add_findings(checked.report, TRY(findings->read(image)), accepted, checked.options.policy);
  }
  return checked;
}

Result<stages::deploy::ScanFacts> scan_image(Session& session, const Digest& image, const Json& options) {
  const auto [report, scan_options] = TRY(rescan_image(session, image, options));
  return stages::deploy::ScanFacts{report.scanned, report.open_by_severity(), report.open_exploited(), report.open_epss_max(), report.accepted(), stages::image::to_json(scan_options.vex)};
}

}  // namespace redoubt::cli
