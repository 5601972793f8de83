// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/resource_region.h"

#include <gtest/gtest.h>

#include "provider/aws/testing_client.h"

namespace redoubt::provider::aws {
namespace {

TEST(ResourceRegion, is_read_out_of_arns_and_addresses_of_repositories) {
  EXPECT_EQ(region_of_resource("arn:aws:kms:us-west-2:123456789012:key/k"), "us-west-2");
  EXPECT_EQ(region_of_resource("arn:aws:iam::123456789012:role/r"), "");
  EXPECT_EQ(region_of_resource("123456789012.dkr.ecr.us-west-2.amazonaws.com/redoubt"), "us-west-2");
  EXPECT_EQ(region_of_resource("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com/redoubt"), "us-gov-west-1");
  EXPECT_EQ(region_of_resource("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/redoubt"), "cn-north-1");
  for (const char* name : {"", "alias/redoubt", "registry.example:5000/redoubt", "arn:", "a.dkr.ecr"}) EXPECT_EQ(region_of_resource(name), "") << name;
}

TEST(ResourceRegion, another_one_is_refused_with_both) {
  TestingClient client;
  EXPECT_TRUE(check_region("key", "alias/redoubt", client));
  EXPECT_TRUE(check_region("key", "arn:aws:kms:eu-central-1:123456789012:key/k", client));
  const auto refused = check_region("key", "arn:aws:kms:us-west-2:123456789012:key/k", client);
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument);
  EXPECT_NE(refused.error().message.find("us-west-2"), std::string::npos);
  EXPECT_NE(refused.error().message.find("eu-central-1"), std::string::npos);
}

}  // namespace
}  // namespace redoubt::provider::aws
