// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/sagemaker_endpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "provider/aws/endpoint_requests.h"
#include "provider/aws/testing_endpoints.h"
#include "provider/testing/fake_stores.h"
#include "provider/testing/job_files.h"

namespace redoubt::provider::aws {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kEndpoint = "redoubt-production";

class SagemakerEndpointTest : public ::testing::Test {
 protected:
  SagemakerEndpointTest() { reopen(); }
  void reopen() { host_ = SagemakerEndpoint::create(options_, client_, models_).value(); }
  static EndpointSpec spec(const std::string& version = "1.0.0", char release = 'a') {
    EndpointSpec spec = testing_spec(version, release);
    spec.files = [release] {
      std::vector<JobFile> files;
      for (const char* path : {"base/config.json", "adapter/adapter_model.safetensors"}) {
        files.push_back(provider::testing::file(path, std::string(3, release)));
      }
      return Result<std::vector<JobFile>>(files);
    };
    return spec;
  }
  const Json& shown() { return client_.endpoints.at(kEndpoint).shown; }
  void expect_nothing_left() {
    EXPECT_TRUE(client_.endpoints.empty());
    EXPECT_TRUE(client_.configs.empty());
    EXPECT_TRUE(client_.models.empty());
    EXPECT_TRUE(client_.alarms.empty());
    EXPECT_TRUE(client_.scaled.empty());
    EXPECT_TRUE(client_.records.empty());
    EXPECT_TRUE(models_.list("").value().empty());
  }
  SagemakerEndpointOptions options_{.workspace = "w1", .image_repository = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/redoubt", .role_arn = "arn:aws:iam::123456789012:role/redoubt-endpoint",
                                    .models_uri = "s3://bucket/endpoints/", .kms_key = "arn:aws:kms:eu-central-1:123456789012:key/1", .subnets = {"subnet-01234567"}, .security_groups = {"sg-01234567"}, .poll_ms = 0};
  PlayedEndpoints client_;
  testing::FakeObjectStore models_;
  std::unique_ptr<SagemakerEndpoint> host_;
};

TEST_F(SagemakerEndpointTest, makes_an_isolated_model_an_encrypted_config_and_an_endpoint) {
  const auto status = host_->deploy(spec()).value();
  EXPECT_EQ(status.state, "serving");
  EXPECT_EQ(status.version, "1.0.0");
  EXPECT_EQ(status.deployment, spec().deployment);
  EXPECT_EQ(status.url, "https://runtime.sagemaker.eu-central-1.amazonaws.com/endpoints/redoubt-production/invocations");
  const Json model = client_.models.begin()->second;
  EXPECT_EQ(model["PrimaryContainer"]["Image"], options_.image_repository + "@" + spec().image);
  EXPECT_EQ(model["PrimaryContainer"]["ModelDataSource"]["S3DataSource"]["S3Uri"], "s3://bucket/endpoints/production/" + std::string(64, 'a') + "/");
  EXPECT_EQ(model["EnableNetworkIsolation"], true);
  EXPECT_EQ(model["VpcConfig"], (Json{{"Subnets", {"subnet-01234567"}}, {"SecurityGroupIds", {"sg-01234567"}}}));
  const Json config = client_.configs.begin()->second;
  EXPECT_EQ(config["KmsKeyId"], options_.kms_key);
  EXPECT_EQ(config["DataCaptureConfig"]["InitialSamplingPercentage"], 100);
  EXPECT_EQ(config["DataCaptureConfig"]["KmsKeyId"], options_.kms_key);
  EXPECT_EQ(config["DataCaptureConfig"]["DestinationS3Uri"], "s3://bucket/endpoints/captures/production");
  EXPECT_EQ(models_.list("production/").value().size(), 2u);
  EXPECT_EQ(client_.count("CreateEndpoint"), 1);
  EXPECT_LE(client_.models.begin()->first.size(), 63u);
}

TEST_F(SagemakerEndpointTest, a_share_of_what_is_asked_is_captured_in_whole_percent_and_never_none) {
  auto asked = spec();
  for (const auto& [share, percent] : std::vector<std::pair<double, int>>{{1, 100}, {0.07, 7}, {0.29, 29}, {0.301, 31}, {0.001, 1}, {1e-9, 1}, {0.999, 100}}) {
    asked.capture_share = share;
    EXPECT_EQ(config_request("model", asked, options_)["DataCaptureConfig"]["InitialSamplingPercentage"], percent) << share;
  }
  asked.capture = false;
  EXPECT_FALSE(config_request("model", asked, options_).contains("DataCaptureConfig"));
}

TEST_F(SagemakerEndpointTest, the_same_deployment_again_makes_nothing_and_changes_nothing) {
  ASSERT_TRUE(host_->deploy(spec()));
  reopen();
  auto again = spec();
  again.deployment = "sha256:" + std::string(64, '9');
  EXPECT_EQ(host_->deploy(again).value().deployment, again.deployment);
  for (const char* operation : {"CreateModel", "CreateEndpointConfig", "CreateEndpoint"}) EXPECT_EQ(client_.count(operation), 1) << operation;
  EXPECT_EQ(client_.count("UpdateEndpoint"), 0);
}

TEST_F(SagemakerEndpointTest, the_container_is_told_how_to_serve_and_other_options_are_another_model) {
  auto small = spec();
  small.engine = {{"slots", 4}, {"context", 2048}, {"weights", "int8"}};
  ASSERT_TRUE(host_->deploy(small));
  EXPECT_EQ(client_.models.begin()->second["PrimaryContainer"]["Environment"], (Json{{"REDOUBT_SLOTS", "4"}, {"REDOUBT_CONTEXT", "2048"}, {"REDOUBT_WEIGHTS", "int8"}}));
  small.engine["slots"] = 8;
  ASSERT_TRUE(host_->deploy(small));
  EXPECT_EQ(client_.count("CreateModel"), 2);
}

TEST_F(SagemakerEndpointTest, a_new_version_comes_blue_green_with_a_canary_and_alarms_that_turn_it_back) {
  options_.instances = options_.instances_max = 4;
  options_.rollback_alarms = {"alarm-1", "alarm-2"};
  reopen();
  ASSERT_TRUE(host_->deploy(spec()));
  ASSERT_TRUE(host_->deploy(spec("1.1.0", 'c')));
  const Json config = client_.last["UpdateEndpoint"]["DeploymentConfig"];
  EXPECT_EQ(config["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"], (Json{{"Type", "CANARY"}, {"WaitIntervalInSeconds", 300}, {"CanarySize", {{"Type", "CAPACITY_PERCENT"}, {"Value", 10}}}}));
  EXPECT_EQ(config["AutoRollbackConfiguration"]["Alarms"], Json::parse(R"([{"AlarmName":"redoubt-production-InvocationErrors"},{"AlarmName":"redoubt-production-LatencyP99"},{"AlarmName":"alarm-1"},{"AlarmName":"alarm-2"}])"));
  EXPECT_EQ(host_->status("production").value().version, "1.1.0");
}

TEST_F(SagemakerEndpointTest, alarms_over_what_sagemaker_measures_have_the_version_s_limits_and_tell_the_topic) {
  options_.topic_arn = "arn:aws:sns:eu-central-1:123456789012:alarms";
  reopen();
  auto limited = spec();
  limited.errors_per_minute_max = 3;
  limited.latency_p99_ms_max = 250;
  ASSERT_TRUE(host_->deploy(limited));
  const Json errors = client_.alarms.at("redoubt-production-InvocationErrors"), latency = client_.alarms.at("redoubt-production-LatencyP99");
  EXPECT_EQ(errors["MetricName"], "Invocation5XXErrors");
  EXPECT_EQ(errors["Threshold"], 3);
  EXPECT_EQ(latency["ExtendedStatistic"], "p99");
  EXPECT_EQ(latency["Threshold"], 250'000);
  EXPECT_EQ(latency["AlarmActions"], Json::array({options_.topic_arn}));
}

TEST_F(SagemakerEndpointTest, a_way_back_is_at_once_and_asks_no_alarm) {
  options_.instances = options_.instances_max = 4;
  options_.rollback_alarms = {"alarm-1"};
  reopen();
  ASSERT_TRUE(host_->deploy(spec()));
  ASSERT_TRUE(host_->deploy(spec("1.1.0", 'c')));
  auto back = spec();
  back.rollback = true;
  EXPECT_EQ(host_->deploy(back).value().version, "1.0.0");
  EXPECT_EQ(client_.last["UpdateEndpoint"]["DeploymentConfig"]["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]["Type"], "ALL_AT_ONCE");
  EXPECT_FALSE(client_.last["UpdateEndpoint"]["DeploymentConfig"].contains("AutoRollbackConfiguration"));
  EXPECT_EQ(client_.count("CreateModel"), 2) << "the version before was still there";
}

TEST_F(SagemakerEndpointTest, keeps_what_serves_and_what_served_before_and_nothing_else) {
  for (const char release : {'a', 'c', 'e'}) ASSERT_TRUE(host_->deploy(spec(std::string("1.0.") + release, release)));
  EXPECT_EQ(client_.configs.size(), 2u);
  EXPECT_EQ(client_.models.size(), 2u);
  EXPECT_TRUE(models_.list("production/" + std::string(64, 'a')).value().empty());
  EXPECT_EQ(models_.list("production/").value().size(), 4u);
}

TEST_F(SagemakerEndpointTest, a_version_that_alarms_turned_back_is_refused_and_the_one_before_serves_on) {
  ASSERT_TRUE(host_->deploy(spec()));
  const std::string config = shown()["EndpointConfigName"];
  client_.outcome = [&](auto& endpoint) {
    endpoint.next["EndpointConfigName"] = config;
    endpoint.next["FailureReason"] = "Alarm(s) went into ALARM state";
  };
  const auto error = host_->deploy(spec("1.1.0", 'c')).error();
  EXPECT_EQ(error.code, ErrorCode::gate_refused);
  EXPECT_THAT(error.message, HasSubstr("went into ALARM"));
  EXPECT_EQ(error.where, kEndpoint);
  EXPECT_EQ(client_.configs.size(), 1u);
  EXPECT_EQ(client_.models.size(), 1u);
  EXPECT_EQ(host_->status("production").value().version, "1.0.0");
}

TEST_F(SagemakerEndpointTest, one_that_never_gets_healthy_names_the_reason_and_leaves_nothing) {
  client_.outcome = [](auto& endpoint) {
    endpoint.next["EndpointStatus"] = "Failed";
    endpoint.next["FailureReason"] = "The primary container for production variant main did not pass the ping health check.";
  };
  const auto error = host_->deploy(spec()).error();
  EXPECT_EQ(error.code, ErrorCode::unavailable);
  EXPECT_THAT(error.message, HasSubstr("did not pass the ping health check"));
  EXPECT_THAT(error.hint, HasSubstr("/aws/sagemaker/Endpoints/redoubt-production"));
  expect_nothing_left();
  client_.outcome = [](auto&) {};
  EXPECT_TRUE(host_->deploy(spec()));
}

TEST_F(SagemakerEndpointTest, one_that_takes_too_long_is_found_again_by_the_next_deployment) {
  client_.looks = 60;
  const auto error = host_->deploy(spec()).error();
  EXPECT_EQ(error.code, ErrorCode::unavailable);
  EXPECT_THAT(error.hint, HasSubstr("healthy_s_max"));
  EXPECT_EQ(client_.endpoints.size(), 1u);
  EXPECT_TRUE(host_->deploy(spec()));
  EXPECT_EQ(client_.count("CreateEndpoint"), 1);
}

TEST_F(SagemakerEndpointTest, a_reader_that_sees_the_past_is_not_believed) {
  ASSERT_TRUE(host_->deploy(spec()));
  client_.stale_looks = 4;
  EXPECT_EQ(host_->deploy(spec("1.1.0", 'c')).value().version, "1.1.0");
}

TEST_F(SagemakerEndpointTest, an_answer_that_got_lost_makes_nothing_twice) {
  for (const char* operation : {"CreateModel", "CreateEndpointConfig", "CreateEndpoint", "AddTags", "DeleteEndpoint"}) {
    client_.lost[operation] = 1;
    if (const auto first = host_->deploy(spec()); !first) {
      EXPECT_EQ(first.error().code, ErrorCode::unavailable) << operation;
      ASSERT_TRUE(host_->deploy(spec())) << operation;
    }
    EXPECT_EQ(client_.models.size(), 1u) << operation;
    EXPECT_EQ(client_.configs.size(), 1u) << operation;
    EXPECT_EQ(client_.endpoints.size(), 1u) << operation;
    if (const auto stopped = host_->stop("production"); !stopped) {
      ASSERT_TRUE(host_->stop("production")) << operation;
    }
    expect_nothing_left();
  }
}

TEST_F(SagemakerEndpointTest, a_failure_at_any_call_leaves_what_served_and_the_next_deployment_works) {
  options_.instances_max = 3;
  reopen();
  for (const char* operation : {"DescribeEndpoint", "DescribeModel", "CreateModel", "DescribeEndpointConfig", "CreateEndpointConfig", "UpdateEndpoint", "RegisterScalableTarget",
                                "PutScalingPolicy", "AddTags", "DeleteEndpointConfig", "DeleteModel"}) {
    ASSERT_TRUE(host_->deploy(spec())) << operation;
    client_.refuses[operation].push_back(PlayedEndpoints::refusal("ThrottlingException", ErrorCode::unavailable, "slow down"));
    (void)host_->deploy(spec("1.1.0", 'c'));
    client_.refuses[operation].clear();
    EXPECT_EQ(client_.endpoints.size(), 1u) << operation;
    EXPECT_EQ(shown()["EndpointStatus"], "InService") << operation;
    ASSERT_EQ(host_->deploy(spec("1.1.0", 'c')).value().version, "1.1.0") << operation;
    EXPECT_LE(client_.configs.size(), 2u) << operation;
    ASSERT_TRUE(host_->stop("production")) << operation;
    expect_nothing_left();
  }
}

TEST_F(SagemakerEndpointTest, refusals_name_the_resource_and_the_cure) {
  const struct { const char* operation; Error refusal; ErrorCode code; const char *where, *hint; } rows[] = {
      {"CreateEndpoint", PlayedEndpoints::refusal("ResourceLimitExceeded", ErrorCode::limit_exceeded, "The account-level service limit 'ml.m5.xlarge for endpoint usage' is 0"), ErrorCode::limit_exceeded, kEndpoint, "ml.m5.xlarge for endpoint usage"},
      {"CreateModel", PlayedEndpoints::refusal("ValidationException", ErrorCode::invalid_argument, "Could not assume role arn:aws:iam::123456789012:role/x"), ErrorCode::permission_denied, "role/redoubt-endpoint", "iam:PassRole"},
      {"CreateModel", PlayedEndpoints::refusal("ValidationException", ErrorCode::invalid_argument, "Requested image 123.dkr.ecr not found."), ErrorCode::not_found, "amazonaws.com/redoubt", "push the image"},
      {"CreateEndpointConfig", PlayedEndpoints::refusal("AccessDeniedException", ErrorCode::permission_denied, "not authorized"), ErrorCode::permission_denied, "redoubt-production-c", "sagemaker:Create"},
      {"CreateModel", PlayedEndpoints::refusal("ValidationException", ErrorCode::invalid_argument, "Could not access model data at s3://bucket"), ErrorCode::invalid_argument, "s3://bucket/endpoints/", "readable by"},
  };
  for (const auto& row : rows) {
    client_.refuses[row.operation].push_back(row.refusal);
    const auto error = host_->deploy(spec()).error();
    EXPECT_EQ(error.code, row.code) << row.refusal.message;
    EXPECT_THAT(error.where, HasSubstr(row.where));
    EXPECT_THAT(error.hint, HasSubstr(row.hint));
    EXPECT_THAT(error.message, HasSubstr("request id"));
    expect_nothing_left();
  }
}

TEST_F(SagemakerEndpointTest, scales_between_its_bounds_and_keeps_what_scaling_made) {
  options_.instances_max = 5;
  reopen();
  ASSERT_TRUE(host_->deploy(spec()));
  EXPECT_EQ(client_.last["RegisterScalableTarget"]["MaxCapacity"], 5);
  EXPECT_EQ(client_.last["PutScalingPolicy"]["TargetTrackingScalingPolicyConfiguration"]["PredefinedMetricSpecification"]["PredefinedMetricType"], "SageMakerVariantInvocationsPerInstance");
  ASSERT_TRUE(host_->deploy(spec("1.1.0", 'c')));
  EXPECT_EQ(client_.last["UpdateEndpoint"]["RetainAllVariantProperties"], true);
  options_.instances_max = 1;
  reopen();
  ASSERT_TRUE(host_->deploy(spec("1.1.0", 'c')));
  EXPECT_TRUE(client_.scaled.empty());
}

TEST_F(SagemakerEndpointTest, a_record_fails_over_between_regions_and_goes_with_the_endpoint) {
  options_.failover = {"Z0123456789", "assistant.example.org", "PRIMARY", "11111111-2222-3333-4444-555555555555"};
  reopen();
  ASSERT_TRUE(host_->deploy(spec()));
  const Json record = client_.records.at("redoubt-production-eu-central-1");
  EXPECT_EQ(record["Failover"], "PRIMARY");
  EXPECT_EQ(record["HealthCheckId"], "11111111-2222-3333-4444-555555555555");
  client_.records.at("redoubt-production-eu-central-1")["TTL"] = 300;  // somebody changed it by hand
  ASSERT_TRUE(host_->stop("production"));
  EXPECT_EQ(client_.last["ChangeResourceRecordSets"]["ChangeBatch"]["Changes"][0]["ResourceRecordSet"]["TTL"], 300);
  expect_nothing_left();
  ASSERT_TRUE(host_->deploy(spec()));
  client_.records.clear();  // or removed it
  ASSERT_TRUE(host_->stop("production"));
  expect_nothing_left();
}

TEST_F(SagemakerEndpointTest, a_withdrawn_version_is_stopped_and_another_is_not) {
  ASSERT_TRUE(host_->deploy(spec()));
  ASSERT_TRUE(host_->withdraw("production", "assistant", "0.9.0"));
  EXPECT_EQ(host_->status("production").value().state, "serving");
  ASSERT_TRUE(host_->withdraw("production", "assistant", "1.0.0"));
  EXPECT_EQ(host_->status("production").value().state, "stopped");
  expect_nothing_left();
  EXPECT_TRUE(host_->stop("production"));
}

TEST_F(SagemakerEndpointTest, what_serves_is_told_by_its_configuration_whatever_the_tags_say) {
  options_.instances_max = 3;
  reopen();
  for (const char* operation : {"RegisterScalableTarget", "AddTags"}) {
    ASSERT_TRUE(host_->deploy(spec()));
    client_.refuses[operation].push_back(PlayedEndpoints::refusal("AccessDeniedException", ErrorCode::permission_denied, "not authorized"));
    EXPECT_EQ(host_->deploy(spec("1.1.0", 'c')).error().code, ErrorCode::permission_denied) << operation;
    EXPECT_EQ(client_.endpoints.at(kEndpoint).tags.at("redoubt:version"), "1.0.0") << operation;
    EXPECT_EQ(host_->status("production").value().version, "1.1.0") << operation;
    EXPECT_EQ(host_->status("production").value().deployment, spec("1.1.0", 'c').deployment) << operation;
    ASSERT_TRUE(host_->withdraw("production", "assistant", "1.0.0")) << operation;
    EXPECT_EQ(client_.endpoints.size(), 1u) << operation;
    ASSERT_TRUE(host_->withdraw("production", "assistant", "1.1.0")) << operation;
    expect_nothing_left();
  }
}

TEST_F(SagemakerEndpointTest, a_version_that_is_withdrawn_while_it_comes_up_is_stopped_once_it_has) {
  ASSERT_TRUE(host_->deploy(spec()));
  client_.looks = 60;
  ASSERT_FALSE(host_->deploy(spec("1.1.0", 'c')));
  client_.looks = 2;
  ASSERT_TRUE(host_->withdraw("production", "assistant", "1.1.0"));
  expect_nothing_left();
}

TEST_F(SagemakerEndpointTest, an_endpoint_that_a_reader_does_not_know_yet_is_neither_taken_for_gone_nor_stopped) {
  const auto unknown = [&](int times) {
    for (int i = 0; i < times; ++i) client_.refuses["DescribeEndpoint"].push_back(PlayedEndpoints::refusal("ValidationException", ErrorCode::not_found, "Could not find endpoint"));
  };
  ASSERT_TRUE(host_->deploy(spec()));
  unknown(2);
  ASSERT_TRUE(host_->deploy(spec("1.1.0", 'c'))) << "it is changed, not made";
  EXPECT_EQ(client_.count("CreateEndpoint"), 1);
  unknown(2);
  ASSERT_TRUE(host_->withdraw("production", "assistant", "1.1.0"));
  expect_nothing_left();
}

TEST_F(SagemakerEndpointTest, a_change_that_fails_keeps_the_version_to_go_back_to) {
  ASSERT_TRUE(host_->deploy(spec()));
  ASSERT_TRUE(host_->deploy(spec("1.1.0", 'c')));
  client_.refuses["UpdateEndpoint"].push_back(PlayedEndpoints::refusal("AccessDeniedException", ErrorCode::permission_denied, "not authorized"));
  ASSERT_FALSE(host_->deploy(spec("1.2.0", 'e')));
  EXPECT_EQ(client_.configs.size(), 2u);
  EXPECT_EQ(models_.list("production/").value().size(), 4u);
  ASSERT_TRUE(host_->deploy(spec()));
  EXPECT_EQ(client_.count("CreateModel"), 3);
}

TEST_F(SagemakerEndpointTest, what_could_not_be_removed_goes_with_the_next_try) {
  for (const char release : {'a', 'c'}) ASSERT_TRUE(host_->deploy(spec(std::string("1.0.") + release, release)));
  client_.refuses["DeleteModel"].push_back(PlayedEndpoints::refusal("ThrottlingException", ErrorCode::unavailable, "slow down"));
  EXPECT_FALSE(host_->deploy(spec("1.0.e", 'e')));
  ASSERT_TRUE(host_->deploy(spec("1.0.e", 'e')));
  EXPECT_EQ(client_.configs.size(), 2u);
  EXPECT_EQ(client_.models.size(), 2u);
  EXPECT_EQ(models_.list("production/").value().size(), 4u);
}

TEST_F(SagemakerEndpointTest, another_one_s_endpoint_is_left_alone) {
  ASSERT_TRUE(host_->deploy(spec()));
  options_.workspace = "w2";
  reopen();
  EXPECT_EQ(host_->deploy(spec()).error().code, ErrorCode::already_exists);
  EXPECT_EQ(host_->stop("production").error().code, ErrorCode::already_exists);
  EXPECT_EQ(host_->status("production").value().state, "stopped");
  EXPECT_EQ(client_.endpoints.size(), 1u);
}

TEST_F(SagemakerEndpointTest, instances_with_disks_of_their_own_take_no_key) {
  options_.instance_type = "ml.g5.xlarge";
  reopen();
  ASSERT_TRUE(host_->deploy(spec()));
  EXPECT_FALSE(client_.configs.begin()->second.contains("KmsKeyId"));
  EXPECT_TRUE(client_.configs.begin()->second["DataCaptureConfig"].contains("KmsKeyId"));
}

TEST_F(SagemakerEndpointTest, options_that_could_never_work_are_refused) {
  const auto refused = [&](auto change) {
    auto options = options_;
    change(options);
    const auto made = SagemakerEndpoint::create(options, client_, models_);
    return !made && made.error().code == ErrorCode::invalid_argument;
  };
  EXPECT_TRUE(refused([](auto& o) { o.models_uri = "s3://bucket"; }));
  EXPECT_TRUE(refused([](auto& o) { o.security_groups.clear(); }));
  EXPECT_TRUE(refused([](auto& o) { o.instances = 3; }));
  EXPECT_TRUE(refused([](auto& o) { o.canary_percent = 51; }));
  EXPECT_TRUE(refused([](auto& o) { o.rollback_alarms.assign(9, "a"); }));
  EXPECT_TRUE(refused([](auto& o) { o.failover = {"Z1", "a.example.org", "PRIMARY", ""}; }));
  EXPECT_TRUE(refused([](auto& o) { o.workspace.clear(); }));
}

}  // namespace
}  // namespace redoubt::provider::aws
