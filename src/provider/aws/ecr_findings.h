// SPDX-License-Identifier: Apache-2.0
//
// Findings of ECR's scan on push, basic or enhanced (Amazon Inspector). Enhanced scans go on, so each reading has the newest.
#pragma once

#include "provider/aws/api/client.h"
#include "provider/image_findings.h"

namespace redoubt::provider::aws {

struct EcrFindingsOptions {
  std::string repository;
  WaitOptions wait = {1'000, 10'000, 900};  // a scan begins seconds after the push and takes minutes
};

class EcrFindings final : public ImageFindings {
 public:
  EcrFindings(EcrFindingsOptions options, Client& client) : options_(std::move(options)), client_(client) {}
  std::string scanner() const override { return "ECR repository " + options_.repository; }
  Result<std::vector<ImageFinding>> read(const Digest& image) override;

 private:
  Result<std::string> wait_for_end(const Json& input);

  const EcrFindingsOptions options_;
  Client& client_;
};

}  // namespace redoubt::provider::aws
