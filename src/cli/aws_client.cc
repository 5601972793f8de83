// SPDX-License-Identifier: Apache-2.0
#include "cli/aws_client.h"

namespace redoubt::cli {

Result<std::unique_ptr<provider::aws::Client>> open_aws_client(const Json& block, const Clock& clock) {
  provider::aws::ClientOptions options;
  options.region = json_or(block, "region", "");
  options.profile = json_or(block, "profile", "");
  options.assume_role_arn = json_or(block, "assume_role_arn", "");
  options.endpoint_url = json_or(block, "endpoint_url", "");
  options.ca_file = json_or(block, "ca_file", "");
  options.use_fips = json_or(block, "use_fips", false);
  options.use_dual_stack = json_or(block, "use_dual_stack", false);
  options.attempts_max = static_cast<int>(json_or(block, "attempts_max", std::int64_t{5}));
  return provider::aws::Client::create(std::move(options), clock);
}

}  // namespace redoubt::cli
