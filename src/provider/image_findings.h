// SPDX-License-Identifier: Apache-2.0
//
// What a registry's own scanner found in an image that was pushed to it.
#pragma once

#include <string>
#include <vector>

#include "base/bytes.h"

namespace redoubt::provider {

struct ImageFinding {
  std::string id, package, installed, fixed;  // "CVE-2026-0001"; `fixed` is empty where no fix is known
  std::string severity;                        // "critical", "high", "medium", "low"; "" where the scanner could not say
  double cvss = 0;
};

class ImageFindings {
 public:
  virtual ~ImageFindings() = default;
  // Who looks: "ECR repository redoubt".
  virtual std::string scanner() const = 0;
  // Waits for the scan. limit_exceeded where it does not end in time, gate_refused where it failed: what nobody looked at is not known to be
  // well. Nothing for an image of a kind that the scanner does not read.
  virtual Result<std::vector<ImageFinding>> read(const Digest& image) = 0;
};

}  // namespace redoubt::provider
