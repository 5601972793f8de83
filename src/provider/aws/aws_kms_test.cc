// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/aws_kms.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "provider/aws/testing_client.h"

namespace redoubt::provider::aws {
namespace {

constexpr const char* kArn = "arn:aws:kms:eu-central-1:123456789012:key/1";

// Keys and their names, whose answer to CreateAlias never arrives.
class AwsKmsTest : public ::testing::Test {
 protected:
  AwsKmsTest() {
    client_.answer = [this](const std::string&, const std::string& operation, const Json& input) -> Result<Json> {
      if (operation == "CreateKey") return Json{{"KeyMetadata", {{"Arn", kArn}}}};
      if (operation == "CreateAlias") {
        if (is_carried_out_) named_ = input["TargetKeyId"].get<std::string>();
        return fail(ErrorCode::unavailable, "the connection was reset", "kms.CreateAlias", "look, then run this again");
      }
      if (operation != "DescribeKey") return Json::object();
      if (named_.empty()) return TestingClient::refuse("NotFoundException", ErrorCode::not_found);
      return Json{{"KeyMetadata", {{"Arn", named_}}}};
    };
  }
  TestingClient client_;
  AwsKms kms_{client_};
  std::string named_;
  bool is_carried_out_ = true;
};

TEST_F(AwsKmsTest, a_key_that_has_its_name_is_kept_though_nobody_heard_of_it) {
  EXPECT_TRUE(kms_.create_key("aws-kms:alias/new"));
  EXPECT_EQ(client_.count("ScheduleKeyDeletion"), 0);
}

TEST_F(AwsKmsTest, a_key_that_has_no_name_goes) {
  is_carried_out_ = false;
  EXPECT_EQ(kms_.create_key("aws-kms:alias/new").error().code, ErrorCode::unavailable);
  EXPECT_EQ(client_.last("ScheduleKeyDeletion")["KeyId"], "1");
}

}  // namespace
}  // namespace redoubt::provider::aws
