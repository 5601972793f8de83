// SPDX-License-Identifier: Apache-2.0
//
// What the forms of RPM's database have in common beside their headers.
#pragma once

#include <cstddef>
#include <string>

#include "base/result.h"

namespace redoubt::packages {

inline constexpr std::size_t kRpmPackagesMax = 1'000'000;

inline tl::unexpected<Error> broken_rpm_database(const std::string& what, const std::string& place) {
  return fail(ErrorCode::invalid_argument, "RPM's database can't be read: " + what, place, "the file is damaged; take the image as its maker published it");
}

}  // namespace redoubt::packages
