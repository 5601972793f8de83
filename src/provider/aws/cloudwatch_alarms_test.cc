// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/cloudwatch_alarms.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "provider/aws/testing_client.h"

namespace redoubt::provider::aws {
namespace {

using ::testing::HasSubstr;

constexpr const char* kAlarmsTopic = "arn:aws:sns:eu-central-1:123456789012:alarms";
const std::vector<AlarmRule> kRules = {
    {"Errors", "failed in a minute", 10},
    {"Drift", "ratio", 1, 2, 3, MetricUnit::none, Sampling::now_and_then},
};

class CloudWatchAlarmsTest : public ::testing::Test {
 protected:
  CloudWatchAlarmsTest() {
    client_.answer = [this](const auto&, const std::string& operation, const Json& input) -> Result<Json> {
      if (operation == "DescribeAlarms") return Json{{"MetricAlarms", there_}};
      if (operation == "PutMetricAlarm") {
        Json alarm = input;
        alarm.update({{"StateValue", "INSUFFICIENT_DATA"}, {"StateReason", "Unchecked: Initial alarm creation"}});
        std::erase_if(alarm.get_ref<Json::object_t&>(), [](const auto& member) { return member.second.is_array() && member.second.empty(); });
        there_.push_back(alarm);
      }
      return Json::object();
    };
    reopen();
  }
  void reopen() { alarms_ = CloudWatchAlarms::create(options_, client_, clock_).value(); }
  std::vector<double> sent(const std::string& metric) {
    std::vector<double> values;
    for (const auto& call : client_.calls) {
      if (call.operation != "PutMetricData") continue;
      for (const auto& datum : call.input["MetricData"]) {
        if (datum["MetricName"] == metric) values.push_back(datum["Value"]);
      }
    }
    return values;
  }
  FakeClock clock_;
  TestingClient client_;
  Json there_ = Json::array();
  CloudWatchAlarmsOptions options_{.name_prefix = "redoubt-1-production-", .dimensions = {{"Workspace", "1"}, {"Environment", "production"}}, .topic_arn = kAlarmsTopic};
  std::unique_ptr<CloudWatchAlarms> alarms_;
};

TEST_F(CloudWatchAlarmsTest, an_alarm_tells_the_topic_of_every_state_and_misses_what_comes_at_each_look) {
  ASSERT_TRUE(alarms_->define(kRules));
  ASSERT_EQ(there_.size(), 2u);
  EXPECT_EQ(there_[1]["AlarmName"], "redoubt-1-production-Errors");
  for (const char* actions : {"AlarmActions", "OKActions", "InsufficientDataActions"}) EXPECT_EQ(there_[1][actions], Json::array({kAlarmsTopic}));
  EXPECT_EQ(there_[1]["TreatMissingData"], "missing");
  EXPECT_EQ(there_[1]["EvaluationPeriods"], 3);
  EXPECT_EQ(there_[1]["DatapointsToAlarm"], 1);
  EXPECT_EQ(there_[0]["TreatMissingData"], "ignore");
}

TEST_F(CloudWatchAlarmsTest, writes_only_what_differs_and_takes_away_what_is_not_wanted) {
  ASSERT_TRUE(alarms_->define(kRules));
  reopen();
  ASSERT_TRUE(alarms_->define(kRules));
  EXPECT_EQ(client_.count("PutMetricAlarm"), 2);
  auto changed = kRules;
  changed[0].limit = 11;
  ASSERT_TRUE(alarms_->define({changed[0]}));
  EXPECT_EQ(client_.count("PutMetricAlarm"), 3);
  EXPECT_EQ(client_.last("DeleteAlarms")["AlarmNames"], Json::array({"redoubt-1-production-Drift"}));
}

TEST_F(CloudWatchAlarmsTest, values_now_and_then_are_over_the_limit_when_so_many_in_a_row_are) {
  ASSERT_TRUE(alarms_->define(kRules));
  for (const double value : {1.5, 0.5, 1.4, 1.6, 1.7}) ASSERT_TRUE(alarms_->put({{"Drift", value}}));
  EXPECT_EQ(sent("Drift"), (std::vector<double>{1, 0.5, 0.5, 1.4, 1.6}));
}

TEST_F(CloudWatchAlarmsTest, what_cannot_be_measured_now_and_then_is_undecided_after_so_many_looks) {
  ASSERT_TRUE(alarms_->define(kRules));
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(alarms_->put({{"Drift", std::nullopt}, {"Errors", std::nullopt}}));
  EXPECT_EQ(client_.count("SetAlarmState"), 1);
  EXPECT_EQ(client_.last("SetAlarmState")["StateValue"], "INSUFFICIENT_DATA");
  EXPECT_EQ(client_.count("PutMetricData"), 0);
}

TEST_F(CloudWatchAlarmsTest, sends_one_call_a_look_with_dimensions_and_only_numbers) {
  ASSERT_TRUE(alarms_->define(kRules));
  ASSERT_TRUE(alarms_->put({{"Errors", std::nan("")}, {"Drift", 0.5}, {"Other", 1}}));
  EXPECT_EQ(client_.count("PutMetricData"), 1);
  const Json data = client_.last("PutMetricData")["MetricData"];
  ASSERT_EQ(data.size(), 2u);
  EXPECT_GT(data[0]["Value"].get<double>(), 1e50);
  EXPECT_LT(data[0]["Value"].get<double>(), std::pow(2.0, 360));
  EXPECT_EQ(data[0]["Dimensions"], Json::parse(R"([{"Name":"Environment","Value":"production"},{"Name":"Workspace","Value":"1"}])"));
}

TEST_F(CloudWatchAlarmsTest, puts_each_value_also_where_the_account_s_own_alarms_look) {
  auto options = options_;
  options.also_under = {{"Environment", "production"}};
  auto alarms = CloudWatchAlarms::create(options, client_, clock_).value();
  ASSERT_TRUE(alarms->define(kRules));
  ASSERT_TRUE(alarms->put({{"Errors", 3}}));
  const Json data = client_.last("PutMetricData")["MetricData"];
  ASSERT_EQ(data.size(), 2u);
  EXPECT_EQ(data[1]["Dimensions"], Json::parse(R"([{"Name":"Environment","Value":"production"}])"));
  for (const char* same : {"MetricName", "Value", "Unit", "Timestamp"}) EXPECT_EQ(data[0][same], data[1][same]);
}

TEST_F(CloudWatchAlarmsTest, reads_state_value_and_time) {
  ASSERT_TRUE(alarms_->define(kRules));
  there_[1].update({{"StateValue", "ALARM"}, {"StateReason", "Threshold Crossed"}, {"StateUpdatedTimestamp", 1'700'000'000.5}, {"StateReasonData", R"({"version":"1.0","recentDatapoints":[1.0,12.0]})"}});
  const auto read = alarms_->read().value();
  EXPECT_EQ(read[0].definition.name, "Errors");
  EXPECT_EQ(read[0].state, AlarmState::alarm);
  EXPECT_TRUE(read[0].open);
  EXPECT_EQ(read[0].value, 12.0);
  EXPECT_EQ(read[0].changed, "2023-11-14T22:13:20.500Z");
  EXPECT_EQ(read[1].state, AlarmState::insufficient_data);
  EXPECT_FALSE(read[1].open);
}

TEST_F(CloudWatchAlarmsTest, a_refusal_names_the_alarm_and_the_cure) {
  client_.answer = [](const auto&, const std::string& operation, const auto&) -> Result<Json> {
    if (operation == "DescribeAlarms") return Json{{"MetricAlarms", Json::array()}};
    return TestingClient::refuse("AccessDenied", ErrorCode::permission_denied);
  };
  const auto error = alarms_->define(kRules).error();
  EXPECT_THAT(error.where, HasSubstr("redoubt-1-production-"));
  EXPECT_THAT(error.hint, HasSubstr("cloudwatch:PutMetricData"));
}

TEST_F(CloudWatchAlarmsTest, options_that_could_never_work_are_refused) {
  const auto refused = [&](auto change) {
    auto options = options_;
    change(options);
    return !CloudWatchAlarms::create(options, client_, clock_);
  };
  EXPECT_TRUE(refused([](auto& options) { options.metric_namespace = "AWS/SageMaker"; }));
  EXPECT_TRUE(refused([](auto& options) { options.topic_arn = "arn:aws:sns:us-east-1:123456789012:x"; }));
  EXPECT_TRUE(refused([](auto& options) { options.period_s = 45; }));
  EXPECT_TRUE(refused([](auto& options) { options.name_prefix.clear(); }));
}

}  // namespace
}  // namespace redoubt::provider::aws
