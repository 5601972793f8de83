// SPDX-License-Identifier: Apache-2.0
//
// A deployed image looked at again: its packages, as its SBOM lists them, against today's advisories.
#pragma once

#include "cli/session.h"
#include "stages/deploy/admission.h"
#include "stages/image/advisories.h"

namespace redoubt::cli {

// The SBOM of an image that the image step built; not_found for another.
Result<Json> sbom_of(Session& session, const Digest& image);
// What `image db update` loaded last; null where it never did. tampered when the vault no longer has it as it was.
Result<std::shared_ptr<const stages::image::Advisories>> advisory_database(Session& session);
// `options` as stages::image::to_json wrote them; with the database. An error whenever a feed could not be read or is too old: only an answer says that the image was
// looked at.
Result<stages::deploy::ScanFacts> scan_image(Session& session, const Digest& image, const Json& options);

}  // namespace redoubt::cli
