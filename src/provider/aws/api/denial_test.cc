// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/api/denial.h"

#include <gtest/gtest.h>

namespace redoubt::provider::aws {
namespace {

// Messages as IAM's documentation and S3's and KMS's have them.
TEST(Denial, tells_who_is_not_allowed_what_where_and_by_which_policy) {
  const auto denial = read_denial(
      "User: arn:aws:sts::123456789012:assumed-role/redoubt-dev-job/s is not authorized to perform: kms:Decrypt on resource: arn:aws:kms:eu-central-1:123456789012:key/k because no "
      "identity-based policy allows the kms:Decrypt action",
      "kms.Decrypt");
  EXPECT_EQ(denial.principal, "arn:aws:sts::123456789012:assumed-role/redoubt-dev-job/s");
  EXPECT_EQ(denial.action, "kms:Decrypt");
  EXPECT_EQ(denial.resource, "arn:aws:kms:eu-central-1:123456789012:key/k");
  EXPECT_EQ(cure_of(denial), "allow kms:Decrypt on arn:aws:kms:eu-central-1:123456789012:key/k to arn:aws:sts::123456789012:assumed-role/redoubt-dev-job/s: no identity-based policy does");
}

TEST(Denial, reads_the_quotes_of_s3_and_an_explicit_deny) {
  const auto denial = read_denial(
      "User: arn:aws:iam::123456789012:user/t is not authorized to perform: s3:PutObject on resource: \"arn:aws:s3:::b/k\" with an explicit deny in a service control policy", "s3.UploadPart");
  EXPECT_EQ(denial.resource, "arn:aws:s3:::b/k");
  EXPECT_TRUE(denial.is_explicit);
  EXPECT_EQ(denial.policy, "service control policy");
  EXPECT_NE(cure_of(denial).find("service control policy"), std::string::npos);
  EXPECT_EQ(read_denial("User: u is not authorized to perform: a:B with an explicit deny in an identity-based policy", "a.B").policy, "identity-based policy");
}

TEST(Denial, names_the_action_of_an_operation_where_the_service_does_not) {
  EXPECT_EQ(cure_of(read_denial("Access Denied", "s3.HeadObject")), "allow s3:GetObject to the role or user that runs this, in its policies and in the resource's own policy");
  EXPECT_EQ(action_of("s3.ListObjectsV2"), "s3:ListBucket");
  EXPECT_EQ(action_of("stepfunctions.StartExecution"), "states:StartExecution");
  EXPECT_EQ(action_of("cloudwatch.PutMetricAlarm"), "cloudwatch:PutMetricAlarm");
  EXPECT_EQ(read_denial("User: u is not authorized to perform: GetParameter", "ssm.GetParameter").action, "ssm:GetParameter");
}

}  // namespace
}  // namespace redoubt::provider::aws
