// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "packages/package.h"

namespace redoubt::sbom {

// Which packages of a list a package needs, as far as the list has them: for each, the indexes of the others, sorted.
std::vector<std::vector<std::size_t>> resolve_needs(const std::vector<packages::Package>& packages);

}  // namespace redoubt::sbom
