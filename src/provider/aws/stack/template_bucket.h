// SPDX-License-Identifier: Apache-2.0
//
// Where a template lies for CloudFormation, which takes 51,200 bytes at most in a request and 1 MB from a bucket.
#pragma once

#include "provider/aws/api/client.h"
#include "provider/aws/stack/template.h"

namespace redoubt::provider::aws::stack {

// The template as an object of the account's own bucket, named by its SHA-256; answers its URL. An empty name is
// redoubt-templates-ACCOUNT-REGION, which is made (closed to the public, encrypted) where it is missing; one that is given must be there.
// A bucket of another account's is refused.
Result<std::string> publish_template(Client& client, const Template& source, std::string bucket);

}  // namespace redoubt::provider::aws::stack
