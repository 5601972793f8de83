// SPDX-License-Identifier: Apache-2.0
//
// Names that say which region a resource is in. SageMaker and KMS find nothing in another one, and say then that it is not there.
#pragma once

#include "provider/aws/api/client.h"

namespace redoubt::provider::aws {

// Of arn:PARTITION:SERVICE:REGION:..., or of an ECR repository's ACCOUNT.dkr.ecr[-fips].REGION.amazonaws.com/NAME; empty where the name
// tells none.
std::string region_of_resource(std::string_view name);

// invalid_argument, with both regions, where the name (`what` it is: "key") tells another region than the client's.
Status check_region(const char* what, const std::string& name, const Client& client);

}  // namespace redoubt::provider::aws
