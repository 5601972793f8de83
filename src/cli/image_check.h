// SPDX-License-Identifier: Apache-2.0
//
// A deployed image looked at again: its packages, as its SBOM lists them, against today's advisories.
#pragma once

#include "advisories/scan.h"
#include "cli/session.h"
#include "packages/image_reader.h"
#include "stages/deploy/admission.h"
#include "stages/image/step.h"

namespace redoubt::cli {

// The SBOM of an image that the image step built; not_found for another.
Result<Json> sbom_of(Session& session, const Digest& image);
// What `image db update` loaded last; null where it never did. tampered when the vault no longer has it as it was.
Result<std::shared_ptr<const advisories::AdvisorySet>> advisory_database(Session& session);
// Its list of feeds; empty where there is none.
Result<std::vector<advisories::KeptFeed>> kept_feeds(Session& session);
// The packages of an image of the store: by the SBOM of the step that built it, else by what its layers hold.
Result<packages::ImageReading> read_stored_image(Session& session, const std::string& reference, const packages::Platform& platform);
struct CheckedImage {
  advisories::ScanReport report;
  stages::image::ScanOptions options;  // with the VEX documents that counted
};
// `options` as stages::image::to_json wrote them; with the database. An error whenever a feed could not be read or is too old: only an answer says that the image was
// looked at.
Result<CheckedImage> rescan_image(Session& session, const Digest& image, const Json& options);
Result<stages::deploy::ScanFacts> scan_image(Session& session, const Digest& image, const Json& options);

}  // namespace redoubt::cli
