// SPDX-License-Identifier: Apache-2.0
//
// What CycloneDX documents of images and of models share.
#pragma once

#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/json.h"

namespace redoubt::sbom {

// CycloneDX' "licenses": identifiers and expressions where they are SPDX', else names.
Json licences_json(const std::vector<std::string>& licences);
// "urn:uuid:..." out of a digest.
std::string serial_number(const Digest& digest);
Json tools_json();

}  // namespace redoubt::sbom
