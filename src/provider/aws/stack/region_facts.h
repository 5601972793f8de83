// SPDX-License-Identifier: Apache-2.0
//
// What a stack has to be told of its region.
#pragma once

#include "provider/aws/api/client.h"

namespace redoubt::provider::aws::stack {

// The region's prefix list of S3, by which alone jobs inside the network reach it: "pl-6ea54007". Each region has one of its own.
Result<std::string> s3_prefix_list(Client& client);

// A region has one detector at most, so a stack can't make a second.
Result<bool> is_guardduty_on(Client& client);

}  // namespace redoubt::provider::aws::stack
