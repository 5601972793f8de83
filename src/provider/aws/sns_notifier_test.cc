// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/sns_notifier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "provider/aws/testing_client.h"

namespace redoubt::provider::aws {
namespace {

using ::testing::HasSubstr;

constexpr const char* kTopic = "arn:aws:sns:eu-central-1:123456789012:alarms";

class SnsNotifierTest : public ::testing::Test {
 protected:
  std::unique_ptr<SnsNotifier> notifier(const std::string& topic = kTopic) { return SnsNotifier::create({topic}, client_, clock_).value(); }
  FakeClock clock_;
  TestingClient client_;
};

TEST_F(SnsNotifierTest, sends_the_body_with_attributes_to_filter_by) {
  ASSERT_TRUE(notifier()->notify("production: alarm", {{"id", "1"}, {"name", "LatencyP99"}, {"state", "ALARM"}, {"environment", "production"}, {"value", 2}}));
  const Json sent = client_.last("Publish");
  EXPECT_EQ(sent["TopicArn"], kTopic);
  EXPECT_EQ(sent["Subject"], "production: alarm");
  const Json expected = {{"id", "1"}, {"name", "LatencyP99"}, {"state", "ALARM"}, {"environment", "production"}, {"value", 2},
                         {"version", 1}, {"subject", "production: alarm"}, {"sent", to_rfc3339(clock_.now())}};
  EXPECT_EQ(Json::parse(sent["Message"].get<std::string>()), expected);
  EXPECT_EQ(sent["MessageAttributes"]["state"], (Json{{"DataType", "String"}, {"StringValue", "ALARM"}}));
  EXPECT_FALSE(sent.contains("MessageGroupId"));
}

TEST_F(SnsNotifierTest, a_fifo_topic_gets_a_group_and_knows_a_repeat) {
  const auto fifo = notifier(std::string(kTopic) + ".fifo");
  ASSERT_TRUE(fifo->notify("a", {{"id", "1"}, {"x", 1}}));
  const Json first = client_.last("Publish");
  ASSERT_TRUE(fifo->notify("a", {{"id", "1"}, {"x", 2}}));
  EXPECT_EQ(client_.last("Publish")["MessageDeduplicationId"], first["MessageDeduplicationId"]);
  ASSERT_TRUE(fifo->notify("a", {{"id", "2"}, {"x", 2}}));
  EXPECT_NE(client_.last("Publish")["MessageDeduplicationId"], first["MessageDeduplicationId"]);
  EXPECT_EQ(first["MessageGroupId"], "redoubt");
}

TEST_F(SnsNotifierTest, a_subject_is_what_sns_takes) {
  EXPECT_EQ(sns_subject("plain"), "plain");
  EXPECT_EQ(sns_subject("  a\tb"), "a?b");
  EXPECT_EQ(sns_subject("gr\u00fc\u00dfe \U0001F600"), "gr??e ?");
  EXPECT_EQ(sns_subject(std::string(300, 'x')).size(), 99u);
  EXPECT_EQ(sns_subject(" "), "?");
}

TEST_F(SnsNotifierTest, a_topic_elsewhere_is_refused_before_anything_is_sent) {
  for (const char* topic : {"", "alarms", "arn:aws:sqs:eu-central-1:123456789012:x", "arn:aws:sns:eu-central-1:123456789012:", "arn:aws:sns:us-east-1:123456789012:x"}) {
    const auto made = SnsNotifier::create({topic}, client_, clock_);
    ASSERT_FALSE(made) << topic;
    EXPECT_EQ(made.error().code, ErrorCode::invalid_argument);
    EXPECT_FALSE(made.error().hint.empty());
  }
}

TEST_F(SnsNotifierTest, a_refusal_names_the_topic_and_the_cure) {
  for (const auto& [service_code, code, cure] : {std::tuple("NotFound", ErrorCode::not_found, "cloudformation_template"), std::tuple("AuthorizationError", ErrorCode::permission_denied, "sns:Publish")}) {
    client_.answer = [&](const auto&, const auto&, const auto&) -> Result<Json> { return TestingClient::refuse(service_code, code); };
    const auto error = notifier()->notify("a", Json::object()).error();
    EXPECT_EQ(error.code, code);
    EXPECT_EQ(error.where, kTopic);
    EXPECT_THAT(error.hint, HasSubstr(cure));
    EXPECT_THAT(error.message, HasSubstr("request id"));
  }
}

}  // namespace
}  // namespace redoubt::provider::aws
