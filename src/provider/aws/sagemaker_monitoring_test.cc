// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/sagemaker_monitoring.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "provider/aws/sagemaker_monitor.h"
#include "provider/aws/testing_endpoints.h"
#include "provider/testing/fake_stores.h"

namespace redoubt::provider::aws {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr const char* kMonitoredEndpoint = "redoubt-production";
constexpr const char* kJobRole = "arn:aws:iam::123456789012:role/redoubt-monitor-job";
constexpr const char* kSchedulerRole = "arn:aws:iam::123456789012:role/redoubt-schedule";
constexpr const char* kClarify = "017069133835.dkr.ecr.eu-central-1.amazonaws.com/sagemaker-clarify-processing:1.0";

class MonitoringTest : public ::testing::Test {
 protected:
  MonitoringTest() {
    options_.monitoring.mode = MonitoringMode::processing;
    options_.monitoring.role_arn = kJobRole;
    options_.monitoring.scheduler_role_arn = kSchedulerRole;
  }
  static EndpointSpec spec(const std::string& version = "1.0.0", char release = 'a') {
    EndpointSpec spec = testing_spec(version, release);
    spec.baseline = [release] { return Result<std::optional<DriftBaseline>>(DriftBaseline{{{"features", Json::array({std::string(1, release)})}}, {{"features", Json::array()}}}); };
    return spec;
  }
  Result<EndpointStatus> deploy(const EndpointSpec& spec) { return SagemakerEndpoint::create(options_, client_, models_).value()->deploy(spec); }
  Status stop() { return SagemakerEndpoint::create(options_, client_, models_).value()->stop("production"); }
  std::unique_ptr<SagemakerMonitor> monitor() { return SagemakerMonitor::create(options_, client_, models_).value(); }
  void ask_for_everything() {
    options_.monitoring.mode = MonitoringMode::model_monitor;
    options_.monitoring.model_quality = {.image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/analyzer:1", .ground_truth_uri = "s3://bucket/truth/", .problem_type = "MulticlassClassification", .inference_attribute = "choice"};
    options_.monitoring.bias = {.image = kClarify, .config_uri = "s3://bucket/bias/analysis_config.json", .ground_truth_uri = "s3://bucket/truth/", .start_time_offset = "-PT2H"};
    options_.monitoring.explainability = {.image = kClarify, .config_uri = "s3://bucket/shap/analysis_config.json"};
  }
  Json definition(const char* suffix) {
    const auto found = std::find_if(client_.monitoring.definitions.begin(), client_.monitoring.definitions.end(), [&](const auto& one) { return one.first.starts_with(kMonitoredEndpoint + std::string(suffix)); });
    return found == client_.monitoring.definitions.end() ? Json() : found->second;
  }
  std::vector<std::string> objects(const std::string& prefix) { return models_.list("monitoring/production/" + prefix).value(); }
  void expect_nothing_watches() {
    EXPECT_TRUE(client_.monitoring.is_empty());
    EXPECT_TRUE(objects("baseline/").empty());
    EXPECT_TRUE(objects("job.json").empty());
  }
  SagemakerEndpointOptions options_{.workspace = "w1", .image_repository = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/redoubt", .role_arn = "arn:aws:iam::123456789012:role/redoubt-endpoint",
                                    .models_uri = "s3://bucket/endpoints/", .kms_key = "arn:aws:kms:eu-central-1:123456789012:key/1", .subnets = {"subnet-01234567"}, .security_groups = {"sg-01234567"}, .poll_ms = 0};
  PlayedEndpoints client_;
  testing::FakeObjectStore models_;
};

TEST_F(MonitoringTest, the_scheduler_starts_an_isolated_encrypted_job_of_our_own_image) {
  options_.capture_uri = "s3://captures/";
  ASSERT_TRUE(deploy(spec()));
  ASSERT_THAT(client_.monitoring.schedules, SizeIs(1));
  const Json schedule = client_.monitoring.schedules.at("redoubt-production-drift");
  EXPECT_EQ(schedule["ScheduleExpression"], "rate(60 minutes)");
  EXPECT_EQ(schedule["Target"]["Arn"], "arn:aws:scheduler:::aws-sdk:sagemaker:createProcessingJob");
  EXPECT_EQ(schedule["Target"]["RoleArn"], kSchedulerRole);
  const Json job = parse_json(schedule["Target"]["Input"].get<std::string>(), "input").value();
  EXPECT_EQ(job["ProcessingJobName"], "redoubt-production-drift-<aws.scheduler.execution-id>");
  EXPECT_EQ(job["NetworkConfig"], (Json{{"EnableNetworkIsolation", true}, {"EnableInterContainerTrafficEncryption", true}, {"VpcConfig", {{"Subnets", {"subnet-01234567"}}, {"SecurityGroupIds", {"sg-01234567"}}}}}));
  EXPECT_EQ(job["RoleArn"], kJobRole);
  EXPECT_EQ(job["Tags"], Json::parse(R"([{"Key":"redoubt","Value":"production"},{"Key":"redoubt:workspace","Value":"w1"}])")) << "by the first the account's books know the environment's costs";
  EXPECT_EQ(job["AppSpecification"]["ImageUri"], options_.image_repository + "@" + spec().image);
  EXPECT_EQ(job["AppSpecification"]["ContainerArguments"], Json::array({"monitor"}));
  EXPECT_EQ(job["ProcessingResources"]["ClusterConfig"]["VolumeKmsKeyId"], options_.kms_key);
  EXPECT_EQ(job["ProcessingOutputConfig"]["KmsKeyId"], options_.kms_key);
  EXPECT_EQ(job["StoppingCondition"]["MaxRuntimeInSeconds"], 1800);
  EXPECT_EQ(job["ProcessingInputs"][0]["S3Input"]["S3Uri"], "s3://captures/production/redoubt-production/");
  EXPECT_EQ(client_.configs.begin()->second["DataCaptureConfig"]["DestinationS3Uri"], "s3://captures/production");
  const std::string baseline = job["ProcessingInputs"][1]["S3Input"]["S3Uri"];
  EXPECT_THAT(objects("baseline/"), ElementsAre(baseline.substr(options_.models_uri.size()) + "constraints.json", baseline.substr(options_.models_uri.size()) + "statistics.json"));
}

TEST_F(MonitoringTest, a_run_s_name_is_one_that_sagemaker_takes_however_long_the_prefix_is) {
  const std::string long_id = "01234567-89ab-cdef-0123-456789abcdef";
  std::set<std::string> prefixes;
  for (const std::string name_prefix : {"redoubt", "a-prefix-of-thirty-characters1", "a-prefix-of-thirty-characters2"}) {
    options_.name_prefix = name_prefix;
    ASSERT_TRUE(deploy(spec()));
    const Json job = parse_json(client_.monitoring.schedules.at(name_prefix + "-production-drift")["Target"]["Input"].get<std::string>(), "input").value();
    const std::string name = job["ProcessingJobName"], id = kRunId;
    ASSERT_TRUE(name.ends_with(id));
    EXPECT_LE(name.size() - id.size() + long_id.size(), 63u) << name;
    prefixes.insert(name);
    ASSERT_TRUE(stop());
  }
  EXPECT_THAT(prefixes, SizeIs(3)) << "runs of different endpoints are told apart";
}

TEST_F(MonitoringTest, what_a_run_prints_becomes_the_metric_of_its_environment_and_its_workspace) {
  options_.monitoring.metric_namespace = "Ours";
  ASSERT_TRUE(deploy(spec()));
  ASSERT_THAT(client_.monitoring.filters, SizeIs(2));
  const Json filter = client_.monitoring.filters.at("redoubt-production-drift-workspace");
  EXPECT_EQ(filter["logGroupName"], "/aws/sagemaker/ProcessingJobs");
  EXPECT_EQ(filter["filterPattern"], R"({ $.event = "drift" && $.endpoint = "redoubt-production" })");
  EXPECT_EQ(filter["metricTransformations"][0]["metricNamespace"], "Ours");
  EXPECT_EQ(filter["metricTransformations"][0]["dimensions"], (Json{{"Environment", "$.environment"}, {"Workspace", "$.workspace"}}));
}

TEST_F(MonitoringTest, model_monitor_has_a_definition_and_a_schedule_for_each_kind_that_is_named) {
  ask_for_everything();
  ASSERT_TRUE(deploy(spec()));
  EXPECT_TRUE(client_.monitoring.schedules.empty());
  ASSERT_THAT(client_.monitoring.definitions, SizeIs(4));
  ASSERT_THAT(client_.monitoring.monitoring_schedules, SizeIs(4));
  for (const auto& kind : monitoring_kinds()) {
    const std::string type = kind.type;
    const Json made = definition(kind.suffix);
    EXPECT_EQ(made["NetworkConfig"]["EnableNetworkIsolation"], true) << type;
    EXPECT_EQ(made["NetworkConfig"]["EnableInterContainerTrafficEncryption"], true) << type;
    EXPECT_EQ(made["NetworkConfig"]["VpcConfig"]["Subnets"], Json::array({"subnet-01234567"})) << type;
    EXPECT_EQ(made["JobResources"]["ClusterConfig"]["VolumeKmsKeyId"], options_.kms_key) << type;
    EXPECT_EQ(made[type + "JobOutputConfig"]["KmsKeyId"], options_.kms_key) << type;
    EXPECT_EQ(made[type + "JobInput"]["EndpointInput"]["EndpointName"], kMonitoredEndpoint) << type;
    EXPECT_EQ(made["RoleArn"], kJobRole) << type;
    EXPECT_LE(made["StoppingCondition"]["MaxRuntimeInSeconds"], 1800) << type;
    const Json config = client_.monitoring.monitoring_schedules.at(kMonitoredEndpoint + std::string(kind.suffix))["MonitoringScheduleConfig"];
    EXPECT_EQ(config["ScheduleConfig"]["ScheduleExpression"], "cron(0 * ? * * *)") << type;
    EXPECT_EQ(config["MonitoringJobDefinitionName"], made["JobDefinitionName"]) << type;
    EXPECT_EQ(config["MonitoringType"], type);
  }
  EXPECT_EQ(definition("-dq")["DataQualityAppSpecification"]["ContainerArguments"], Json::array({"monitor"}));
  EXPECT_THAT(definition("-dq")["DataQualityBaselineConfig"]["StatisticsResource"]["S3Uri"].get<std::string>(), HasSubstr("s3://bucket/endpoints/monitoring/production/baseline/"));
  EXPECT_EQ(definition("-mq")["ModelQualityAppSpecification"]["ProblemType"], "MulticlassClassification");
  EXPECT_EQ(definition("-mb")["ModelBiasAppSpecification"]["ConfigUri"], "s3://bucket/bias/analysis_config.json");
  EXPECT_EQ(definition("-mb")["ModelBiasJobInput"]["EndpointInput"]["StartTimeOffset"], "-PT2H");
  EXPECT_FALSE(definition("-me")["ModelExplainabilityJobInput"].contains("GroundTruthS3Input"));
}

TEST_F(MonitoringTest, the_same_again_makes_nothing_twice) {
  for (const auto mode : {MonitoringMode::processing, MonitoringMode::model_monitor}) {
    options_.monitoring.mode = mode;
    ASSERT_TRUE(deploy(spec()));
    client_.calls.clear();
    ASSERT_TRUE(deploy(spec()));
    for (const auto& call : client_.calls) EXPECT_FALSE(call.starts_with("Create")) << call;
    EXPECT_EQ(client_.count("UpdateSchedule") + client_.count("UpdateMonitoringSchedule"), 0);
  }
}

TEST_F(MonitoringTest, another_version_s_baseline_and_definitions_take_the_place_of_the_ones_before) {
  ask_for_everything();
  ASSERT_TRUE(deploy(spec()));
  const Json before = definition("-dq");
  ASSERT_TRUE(deploy(spec("1.1.0", 'c')));
  EXPECT_THAT(client_.monitoring.definitions, SizeIs(4));
  EXPECT_NE(definition("-dq")["JobDefinitionName"], before["JobDefinitionName"]);
  EXPECT_EQ(client_.monitoring.monitoring_schedules.at("redoubt-production-dq")["MonitoringScheduleConfig"]["MonitoringJobDefinitionName"], definition("-dq")["JobDefinitionName"]);
  EXPECT_THAT(objects("baseline/"), SizeIs(2));
  options_.monitoring.bias = {};
  ASSERT_TRUE(deploy(spec("1.1.0", 'c')));
  EXPECT_THAT(client_.monitoring.definitions, SizeIs(3));
  EXPECT_THAT(client_.monitoring.monitoring_schedules, SizeIs(3));
}

TEST_F(MonitoringTest, a_change_of_the_mode_leaves_nothing_of_the_one_before) {
  ASSERT_TRUE(deploy(spec()));
  options_.monitoring.mode = MonitoringMode::model_monitor;
  ASSERT_TRUE(deploy(spec()));
  EXPECT_TRUE(client_.monitoring.schedules.empty());
  EXPECT_THAT(client_.monitoring.definitions, SizeIs(1));
  options_.monitoring.mode = MonitoringMode::processing;
  ASSERT_TRUE(deploy(spec()));
  EXPECT_TRUE(client_.monitoring.definitions.empty() && client_.monitoring.monitoring_schedules.empty());
  EXPECT_THAT(client_.monitoring.schedules, SizeIs(1));
  options_.monitoring.mode = MonitoringMode::off;
  ASSERT_TRUE(deploy(spec()));
  expect_nothing_watches();
  client_.calls.clear();
  ASSERT_TRUE(deploy(spec()));
  ASSERT_TRUE(stop());
  EXPECT_EQ(client_.count("DeleteSchedule") + client_.count("DescribeMonitoringSchedule"), 0) << "an account without these services is not asked for them";
}

TEST_F(MonitoringTest, stopping_or_withdrawing_leaves_nothing_but_results) {
  for (const auto mode : {MonitoringMode::processing, MonitoringMode::model_monitor}) {
    ask_for_everything();
    options_.monitoring.mode = mode;
    if (mode == MonitoringMode::processing) options_.monitoring.model_quality = options_.monitoring.bias = options_.monitoring.explainability = {};
    ASSERT_TRUE(deploy(spec()));
    ASSERT_FALSE(client_.monitoring.is_empty());
    options_.monitoring.mode = MonitoringMode::off;  // what is there decides, not the options
    ASSERT_TRUE(stop());
    expect_nothing_watches();
    EXPECT_TRUE(client_.endpoints.empty());
  }
}

TEST_F(MonitoringTest, whatever_fails_the_next_deployment_completes_and_a_stop_leaves_nothing) {
  for (const auto mode : {MonitoringMode::processing, MonitoringMode::model_monitor}) {
    const auto prepare = [&] {
      client_ = {};
      const auto left = models_.list("").value();
      for (const auto& key : left) ASSERT_TRUE(models_.remove(key));
      options_.monitoring.model_quality = options_.monitoring.bias = options_.monitoring.explainability = {};
      if (mode == MonitoringMode::model_monitor) ask_for_everything();
      options_.monitoring.mode = mode;
    };
    prepare();
    ASSERT_TRUE(deploy(spec()));
    std::set<std::string> operations(client_.calls.begin(), client_.calls.end());
    const auto whole = client_.monitoring.definitions.size() + client_.monitoring.schedules.size() + client_.monitoring.monitoring_schedules.size() + client_.monitoring.filters.size();
    for (const auto& operation : operations) {
      for (const bool is_lost : {false, true}) {
        SCOPED_TRACE(operation + (is_lost ? ", its answer lost" : ", refused"));
        prepare();
        if (is_lost) client_.lost[operation] = 1;
        else client_.refuses[operation].push_back(PlayedEndpoints::refusal("AccessDeniedException", ErrorCode::permission_denied, "no"));
        (void)deploy(spec());
        client_.refuses.clear();
        client_.lost.clear();
        const auto again = deploy(spec());
        ASSERT_TRUE(again) << again.error().message;
        EXPECT_EQ(client_.monitoring.definitions.size() + client_.monitoring.schedules.size() + client_.monitoring.monitoring_schedules.size() + client_.monitoring.filters.size(), whole);
        EXPECT_THAT(objects("baseline/"), SizeIs(2));
        ASSERT_TRUE(stop());
        expect_nothing_watches();
        EXPECT_TRUE(client_.endpoints.empty() && client_.configs.empty() && client_.models.empty());
      }
    }
  }
}

TEST_F(MonitoringTest, a_refusal_names_the_thing_and_the_cure) {
  client_.refuses["CreateSchedule"].push_back(PlayedEndpoints::refusal("AccessDeniedException", ErrorCode::permission_denied, "no"));
  const auto error = deploy(spec()).error();
  EXPECT_EQ(error.where, "redoubt-production-drift");
  EXPECT_THAT(error.hint, HasSubstr("scheduler_role_arn"));
}

TEST_F(MonitoringTest, without_a_baseline_or_captures_nothing_is_made) {
  auto without = spec();
  without.baseline = [] { return Result<std::optional<DriftBaseline>>(std::optional<DriftBaseline>()); };
  ASSERT_TRUE(deploy(without));
  expect_nothing_watches();
  auto blind = spec();
  blind.capture = false;
  ASSERT_TRUE(deploy(blind));
  expect_nothing_watches();
}

TEST_F(MonitoringTest, without_the_scheduler_s_role_runs_are_started_by_hand_alone) {
  options_.monitoring.scheduler_role_arn.clear();
  ASSERT_TRUE(deploy(spec()));
  EXPECT_TRUE(client_.monitoring.schedules.empty());
  EXPECT_THAT(objects("job.json"), SizeIs(1));
}

TEST_F(MonitoringTest, options_that_no_service_takes_are_refused_by_name) {
  const auto refused = [](auto change) {
    MonitoringOptions options;
    options.mode = MonitoringMode::model_monitor;
    change(options);
    const auto checked = check_monitoring_options(options);
    return checked ? std::string("taken") : checked.error().where;
  };
  EXPECT_EQ(refused([](auto&) {}), "taken");
  EXPECT_EQ(refused([](auto& o) { o.schedule_minutes = 90; }), "endpoint.sagemaker.monitoring.schedule_minutes");
  EXPECT_EQ(refused([](auto& o) { o.schedule_minutes = 2880; }), "endpoint.sagemaker.monitoring.schedule_minutes");
  EXPECT_EQ(refused([](auto& o) { o.mode = MonitoringMode::processing, o.schedule_minutes = 90; }), "taken");
  EXPECT_EQ(refused([](auto& o) { o.mode = MonitoringMode::processing, o.bias.image = kClarify; }), "endpoint.sagemaker.monitoring");
  EXPECT_EQ(refused([](auto& o) { o.bias = {.image = kClarify, .config_uri = "s3://b/c.json"}; }), "endpoint.sagemaker.monitoring.bias");
  EXPECT_EQ(refused([](auto& o) { o.explainability.image = kClarify; }), "endpoint.sagemaker.monitoring.explainability");
  EXPECT_EQ(refused([](auto& o) { o.model_quality = {.image = "i", .ground_truth_uri = "s3://b/t/"}; }), "endpoint.sagemaker.monitoring.model_quality");
}

TEST_F(MonitoringTest, hours_become_expressions_that_model_monitor_takes) {
  const auto expression = [&](int minutes) {
    options_.monitoring.schedule_minutes = minutes;
    return monitoring_schedule_config(monitoring_kinds().front(), "d", options_)["ScheduleConfig"]["ScheduleExpression"].get<std::string>();
  };
  EXPECT_EQ(expression(60), "cron(0 * ? * * *)");
  EXPECT_EQ(expression(360), "cron(0 0/6 ? * * *)");
  EXPECT_EQ(expression(1440), "cron(0 0 ? * * *)");
}

class MonitorRunTest : public MonitoringTest {
 protected:
  // Leaves what our image leaves, at the job's end.
  void play(const Json& drift) {
    client_.monitoring.container = [this, drift](Json& job) {
      job["ProcessingJobStatus"] = ++looks_ < 3 ? "InProgress" : "Completed";
      if (looks_ < 3) return;
      const std::string place = job["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"].get<std::string>().substr(options_.models_uri.size());
      for (const char* name : {"drift.json", "statistics.json", "constraints.json", "constraint_violations.json"}) {
        const std::string text = dump_json(std::string_view(name) == "drift.json" ? drift : Json{{"of", name}});
        MemorySource source(view_of(text));
        EXPECT_TRUE(models_.put(place + name, source, PutMode::replace));
      }
    };
  }
  int looks_ = 0;
};

TEST_F(MonitorRunTest, a_run_by_hand_is_the_schedule_s_own_job_under_a_name_of_its_own) {
  ASSERT_TRUE(deploy(spec()));
  play({{"drift", true}});
  const auto run = monitor()->run("production");
  ASSERT_TRUE(run) << run.error().message;
  EXPECT_EQ(run->drift, (Json{{"drift", true}}));
  EXPECT_EQ(run->violations, (Json{{"of", "constraint_violations.json"}}));
  EXPECT_THAT(run->name, ::testing::MatchesRegex("redoubt-production-drift-[0-9a-f]{16}"));
  const Json job = client_.last["CreateProcessingJob"];
  EXPECT_EQ(job["ProcessingJobName"], run->name);
  EXPECT_EQ(dump_json(job).find("<aws."), std::string::npos);
  EXPECT_EQ(job["RoleArn"], kJobRole);
  looks_ = 0;
  EXPECT_NE(monitor()->run("production")->name, run->name);
}

TEST_F(MonitorRunTest, a_lost_answer_starts_no_second_job) {
  ASSERT_TRUE(deploy(spec()));
  play({{"drift", false}});
  client_.lost["CreateProcessingJob"] = 1;
  ASSERT_TRUE(monitor()->run("production"));
  EXPECT_THAT(client_.monitoring.jobs, SizeIs(1));
}

TEST_F(MonitorRunTest, a_run_that_fails_says_why_and_one_without_captures_is_undecided) {
  ASSERT_TRUE(deploy(spec()));
  client_.monitoring.container = [](Json& job) { job.update({{"ProcessingJobStatus", "Failed"}, {"FailureReason", "AlgorithmError: See job logs for more information, exit code: 2"}}); };
  const auto failed = monitor()->run("production").error();
  EXPECT_EQ(failed.code, ErrorCode::unavailable);
  EXPECT_THAT(failed.message, HasSubstr("exit code: 2"));
  EXPECT_THAT(failed.hint, HasSubstr("/aws/sagemaker/ProcessingJobs"));
  client_.monitoring.container = [](Json& job) { job.update({{"ProcessingJobStatus", "Failed"}, {"FailureReason", "ClientError: Data download failed: No S3 objects found under S3 URL \"s3://x\""}}); };
  EXPECT_EQ(monitor()->run("production").error().code, ErrorCode::undecided);
}

TEST_F(MonitorRunTest, an_environment_that_nothing_watches_is_named) {
  const auto error = monitor()->run("production").error();
  EXPECT_EQ(error.code, ErrorCode::not_found);
  EXPECT_EQ(error.where, "production");
  ASSERT_TRUE(deploy(spec()));
  client_.refuses["CreateProcessingJob"].push_back(PlayedEndpoints::refusal("ResourceLimitExceeded", ErrorCode::limit_exceeded, "quota"));
  EXPECT_THAT(monitor()->run("production").error().hint, HasSubstr("ml.m5.large for processing job usage"));
}

}  // namespace
}  // namespace redoubt::provider::aws
