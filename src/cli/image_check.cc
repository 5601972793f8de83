// SPDX-License-Identifier: Apache-2.0
#include "cli/image_check.h"

#include "stages/image/step.h"

namespace redoubt::cli {
namespace {

constexpr std::uint64_t kDatabaseBytesMax = 1 << 30;

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

Result<std::shared_ptr<const stages::image::Advisories>> advisory_database(Session& session) {
  const auto entries = TRY(session.evidence().of_step("advisories"));
  if (entries.empty()) return nullptr;
  const auto record = TRY(attest::to_step_record(entries.back().statement));
  const auto blob = record.outputs.find("advisories");
  if (blob == record.outputs.end()) return fail(ErrorCode::tampered, "the newest advisories name no database", entries.back().digest.tagged());
  auto bytes = session.store().read_blob(blob->second, kDatabaseBytesMax);
  if (!bytes && bytes.error().code == ErrorCode::not_found) {
    return fail(ErrorCode::tampered, "the advisory database was taken away", blob->second.tagged(), "run 'redoubt image db update'");
  }
  if (!bytes) return fail(bytes.error());
  return std::make_shared<const stages::image::Advisories>(TRY(stages::image::parse_database(text_of(*bytes))));
}

Result<stages::deploy::ScanFacts> scan_image(Session& session, const Digest& image, const Json& options) {
  auto packages = TRY(stages::image::packages_of_sbom(TRY(sbom_of(session, image))));
  const TimePoint now = session.clock().now();
  auto scan_options = TRY(stages::image::scan_options_from_json(options));
  scan_options.database = TRY(advisory_database(session));
  auto report = TRY(stages::image::scan(std::move(packages), scan_options, now));
  if (auto* findings = TRY(session.registry_findings()); findings != nullptr) stages::image::add_findings(report, TRY(findings->read(image)), scan_options.accepted);
  return stages::deploy::ScanFacts{now, report.open_by_severity()};
}

}  // namespace redoubt::cli
