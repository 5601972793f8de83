// SPDX-License-Identifier: Apache-2.0
//
// A deployed image looked at again: its packages, as its SBOM lists them, against today's advisories.
#pragma once

#include "cli/session.h"
#include "stages/deploy/admission.h"

namespace redoubt::cli {

// The SBOM of an image that the image step built; not_found for another.
Result<Json> sbom_of(Session& session, const Digest& image);
// `options` as stages::image::to_json wrote them.
Result<stages::deploy::ScanFacts> scan_image(Session& session, const Digest& image, const Json& options);

}  // namespace redoubt::cli
