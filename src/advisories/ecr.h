// SPDX-License-Identifier: Apache-2.0
//
// A scan in the form of Amazon ECR's DescribeImageScanFindings (basic scanning), as its API answers it: times are seconds since 1970.
#pragma once

#include "advisories/scan.h"

namespace redoubt::advisories {

struct EcrImage {
  std::string registry = "000000000000", repository, tag;
  std::optional<Digest> digest;
};

// Accepted findings are left out, as ECR has no word for them.
Json to_ecr(const ScanReport& report, const EcrImage& image);

}  // namespace redoubt::advisories
