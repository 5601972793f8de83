// SPDX-License-Identifier: Apache-2.0
//
// A header of RPM's database: an index of tags and the store that they point into, all numbers big-endian.
#pragma once

#include <optional>

#include "packages/package.h"

namespace redoubt::packages {

// Nothing for a header that is no package (a signing key); invalid_argument for one that is cut off or malformed.
Result<std::optional<Package>> read_rpm_header(ByteView header, const std::string& place, const Distribution& distribution);

}  // namespace redoubt::packages
