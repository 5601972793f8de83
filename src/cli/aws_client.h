// SPDX-License-Identifier: Apache-2.0
//
// The client of AWS as a file of providers says.
#pragma once

#include <memory>

#include "provider/aws/api/client.h"

namespace redoubt::cli {

// `block` is the checked `aws` block; a member that is missing is found by AWS's standard chain.
Result<std::unique_ptr<provider::aws::Client>> open_aws_client(const Json& block, const Clock& clock);

}  // namespace redoubt::cli
