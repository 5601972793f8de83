// SPDX-License-Identifier: Apache-2.0
#include "cli/image_check.h"

#include "stages/image/step.h"

namespace redoubt::cli {

Result<Json> sbom_of(Session& session, const Digest& image) {
  for (const auto& entry : TRY(session.evidence().of_step(governance::ImageStep::kName))) {
    const auto record = TRY(attest::to_step_record(entry.statement));
    const auto built = record.outputs.find("image"), sbom = record.outputs.find("sbom");
    if (built == record.outputs.end() || sbom == record.outputs.end() || built->second != image) continue;
    return parse_json(to_text(TRY(session.store().read_blob(sbom->second, 64 << 20))), "SBOM");
  }
  return fail(ErrorCode::not_found, "no image step of this workspace built this image", image.tagged());
}

Result<stages::deploy::ScanFacts> scan_image(Session& session, const Digest& image, const Json& options) {
  auto packages = TRY(stages::image::packages_of_sbom(TRY(sbom_of(session, image))));
  const TimePoint now = session.clock().now();
  const auto report = TRY(stages::image::scan(std::move(packages), TRY(stages::image::scan_options_from_json(options)), now));
  return stages::deploy::ScanFacts{now, report.open_by_severity()};
}

}  // namespace redoubt::cli
