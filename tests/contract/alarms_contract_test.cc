// SPDX-License-Identifier: Apache-2.0
//
// What every Alarms promises (src/provider/alarms.h).
#include <gtest/gtest.h>

#include <cmath>

#include "provider/aws/cloudwatch_alarms.h"
#include "provider/local/local_alarms.h"
#include "provider/testing/fake_alarms.h"
#include "tests/contract/aws_case.h"

namespace redoubt::provider {
namespace {

const std::vector<AlarmRule> kRules = {
    {"Errors", "failed in a minute", 10},
    {"Latency", "of an answer, ms", 1000, 1, 3, MetricUnit::milliseconds, Sampling::now_and_then},
    {"Attempts", "in a minute", 5},
};

struct AlarmsUnderTest {
  virtual ~AlarmsUnderTest() = default;
  virtual Alarms& alarms() = 0;
  virtual void reopen() = 0;  // as another process would
  virtual void settle() {}    // waits until what was put is evaluated
};

struct FakeAlarmsCase final : AlarmsUnderTest {
  Alarms& alarms() override { return alarms_; }
  void reopen() override {}
  testing::FakeAlarms alarms_;
};

struct LocalAlarmsCase final : AlarmsUnderTest {
  LocalAlarmsCase() { reopen(); }
  Alarms& alarms() override { return *alarms_; }
  void reopen() override {
    alarms_ = local::LocalAlarms::create({[this]() -> Result<std::optional<Json>> { return saved_; }, [this](const Json& list) -> Status { return saved_ = list, Status(); }}, clock_).value();
  }
  FakeClock clock_;
  std::optional<Json> saved_;
  std::unique_ptr<local::LocalAlarms> alarms_;
};

// Where nobody evaluates alarms, the case does what CloudWatch does: it compares what stands in the metric's newest minute.
struct AwsAlarmsCase final : AlarmsUnderTest {
  AwsAlarmsCase() { reopen(); }
  Alarms& alarms() override { return *alarms_; }
  void reopen() override {
    aws::CloudWatchAlarmsOptions options;
    options.metric_namespace = name_;
    options.name_prefix = name_ + "-";
    options.dimensions = {{"Environment", "dev"}};
    alarms_ = aws::CloudWatchAlarms::create(options, *aws::test_client(), clock_).value();
  }
  void settle() override {
    const double now = static_cast<double>(clock_.now().time_since_epoch().count()) / 1000;
    const Json there = aws::test_client()->call_all("cloudwatch", "DescribeAlarms", {{"AlarmNamePrefix", name_ + "-"}}, "MetricAlarms").value();
    for (const auto& alarm : there) {
      const Json found = aws::test_client()->call("cloudwatch", "GetMetricStatistics", {{"Namespace", name_}, {"MetricName", alarm["MetricName"]}, {"Dimensions", alarm["Dimensions"]},
                                                  {"StartTime", now - 30}, {"EndTime", now + 30}, {"Period", 60}, {"Statistics", {alarm["Statistic"]}}}).value();
      const Json points = json_or(found, "Datapoints", Json::array());
      if (points.empty()) continue;
      const double value = points[0][alarm["Statistic"].get<std::string>()];
      const Json reason = {{"version", "1.0"}, {"recentDatapoints", {value}}};
      EXPECT_TRUE(aws::test_client()->call("cloudwatch", "SetAlarmState", {{"AlarmName", alarm["AlarmName"]}, {"StateValue", value > alarm["Threshold"].get<double>() ? "ALARM" : "OK"},
                                           {"StateReason", "evaluated"}, {"StateReasonData", dump_json(reason)}}));
    }
    clock_.advance(std::chrono::minutes(1));
  }
  const std::string name_ = aws::unique_name();
  FakeClock clock_{SystemClock().now() - std::chrono::hours(1)};
  std::unique_ptr<aws::CloudWatchAlarms> alarms_;
};

struct AlarmsCase {
  const char* name;
  std::unique_ptr<AlarmsUnderTest> (*make)();
};

template <class T>
std::unique_ptr<AlarmsUnderTest> make_alarms() {
  return std::make_unique<T>();
}

class AlarmsContract : public ::testing::TestWithParam<AlarmsCase> {
 protected:
  std::unique_ptr<AlarmsUnderTest> under_test_ = GetParam().make();
  Alarms& alarms() { return under_test_->alarms(); }
  Alarm get(const std::string& name) {
    under_test_->settle();
    const auto read = alarms().read().value();
    for (const auto& alarm : read) {
      if (alarm.definition.name == name) return alarm;
    }
    ADD_FAILURE() << "no alarm " << name;
    return {};
  }
};

TEST_P(AlarmsContract, are_those_of_the_rules_in_their_order_and_undecided_at_first) {
  ASSERT_TRUE(alarms().define(kRules));
  const auto read = alarms().read().value();
  ASSERT_EQ(read.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(read[i].definition.name, kRules[i].name);
    EXPECT_EQ(read[i].definition.limit, kRules[i].limit);
    EXPECT_EQ(read[i].definition.description, kRules[i].description);
    EXPECT_EQ(read[i].state, AlarmState::insufficient_data);
    EXPECT_FALSE(read[i].open);
  }
}

TEST_P(AlarmsContract, a_value_over_the_limit_is_an_alarm_and_one_at_it_is_not) {
  ASSERT_TRUE(alarms().define(kRules));
  ASSERT_TRUE(alarms().put({{"Errors", 10}, {"Latency", 1000.5}, {"NoSuchRule", 1}}));
  EXPECT_EQ(get("Errors").state, AlarmState::ok);
  EXPECT_EQ(get("Latency").state, AlarmState::alarm);
  EXPECT_TRUE(get("Latency").open);
  EXPECT_EQ(get("Latency").value, 1000.5);
  EXPECT_EQ(get("Attempts").state, AlarmState::insufficient_data);
  ASSERT_TRUE(alarms().put({{"Latency", 20}}));
  EXPECT_EQ(get("Latency").state, AlarmState::ok);
  EXPECT_FALSE(get("Latency").open);
}

TEST_P(AlarmsContract, a_value_that_is_no_number_is_over_every_limit) {
  ASSERT_TRUE(alarms().define(kRules));
  ASSERT_TRUE(alarms().put({{"Errors", std::nan("")}, {"Latency", INFINITY}}));
  EXPECT_EQ(get("Errors").state, AlarmState::alarm);
  EXPECT_EQ(get("Latency").state, AlarmState::alarm);
}

TEST_P(AlarmsContract, states_outlive_their_process_and_a_new_definition) {
  ASSERT_TRUE(alarms().define(kRules));
  ASSERT_TRUE(alarms().put({{"Errors", 11}, {"Latency", 1}}));
  EXPECT_EQ(get("Errors").state, AlarmState::alarm);
  under_test_->reopen();
  ASSERT_TRUE(alarms().define(kRules));
  EXPECT_EQ(get("Errors").state, AlarmState::alarm);
  ASSERT_TRUE(alarms().define({kRules[0]}));
  EXPECT_EQ(alarms().read().value().size(), 1u);
  EXPECT_EQ(get("Errors").state, AlarmState::alarm);
}

TEST_P(AlarmsContract, rules_that_could_never_work_are_refused) {
  EXPECT_EQ(alarms().define({{"", "d"}}).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(alarms().define({{"a b", "d"}}).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(alarms().define({{"a", "d"}, {"a", "d"}}).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(alarms().define({{"a", "d", std::nan("")}}).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(alarms().define(std::vector<AlarmRule>(101, {"a", "d"})).error().code, ErrorCode::limit_exceeded);
  EXPECT_TRUE(alarms().read().value().empty());
}

INSTANTIATE_TEST_SUITE_P(All, AlarmsContract, 
                         ::testing::ValuesIn(aws::with_aws<AlarmsCase>({{"fake", make_alarms<FakeAlarmsCase>}, {"local", make_alarms<LocalAlarmsCase>}},
                                                                 {"aws", make_alarms<AwsAlarmsCase>})),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace redoubt::provider
