// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/sagemaker_job_runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>

#include "base/file.h"
#include "crypto/tls.h"
#include "crypto/x509.h"
#include "provider/aws/interrupts.h"
#include "provider/aws/job_archive.h"
#include "provider/aws/testing_sagemaker.h"
#include "provider/testing/fake_stores.h"
#include "provider/testing/job_files.h"

namespace redoubt::provider::aws {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

using provider::testing::contents;
using provider::testing::file;
using provider::testing::Kept;

class SagemakerJobRunnerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    spec_.image = "sha256:" + std::string(64, 'a');
    spec_.entry_point = "train";
    spec_.hyperparameters = {{"seed", "7"}, {"epochs", 2}, {"target_modules", {"q_proj", "v_proj"}}};
    spec_.channels["train"] = {file("a.txt", "abc")};
    spec_.time_s_max = 60;
    options_.image_repository = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/redoubt";
    options_.role_arn = "arn:aws:iam::123456789012:role/redoubt-training";
    options_.staging_uri = "s3://bucket/prefix/";
    options_.kms_key = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555";
    options_.subnets = {"subnet-0123456789abcdef0"};
    options_.security_groups = {"sg-0123456789abcdef0"};
    options_.workspace = "w1";
    options_.poll = options_.checkpoint_settle = options_.log_settle = std::chrono::milliseconds(1);
    options_.outage_max = std::chrono::seconds(0);
    options_.is_interrupted = [this] { return interrupted_; };
    aws_.container = [this](PlayedJob& job) { write_outputs(job); };
  }
  void put(const std::string& key, const Bytes& bytes) {
    MemorySource source(bytes);
    ASSERT_TRUE(staging_.put(key, source, PutMode::replace));
  }
  static std::string name_of(const PlayedJob& job) { return job.request["TrainingJobName"]; }
  void write_outputs(PlayedJob& job) {
    const std::string folder = outputs_of(name_of(job)) + name_of(job) + "/output/";
    put(folder + "model.tar.gz", make_archive({{"adapter.bin", "weights"}}));
    put(folder + "output.tar.gz", make_archive({{"./metrics.jsonl", "{}"}}));
    job.lines = {R"({"event":"plan","steps":1})", "no event", "a log line"};
  }
  std::unique_ptr<SagemakerJobRunner> runner() { return *SagemakerJobRunner::create(options_, aws_, staging_); }
  Result<JobResult> run() { return runner()->run(spec_, kept_); }
  std::vector<std::string> left() { return *staging_.list(""); }
  long count(const std::string& operation) { return std::count(aws_.calls.begin(), aws_.calls.end(), operation); }
  std::string first_name() { return job_name(*job_family(spec_, options_), 1); }

  PlayedSagemaker aws_;
  testing::FakeObjectStore staging_;
  SagemakerJobOptions options_;
  JobSpec spec_;
  Kept kept_;
  bool interrupted_ = false;
};

TEST_F(SagemakerJobRunnerTest, gives_back_what_the_job_made_and_leaves_nothing_behind) {
  const auto result = run();
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->exit_code, 0);
  EXPECT_THAT(kept_.events, ElementsAre(R"({"event":"plan","steps":1})"));
  EXPECT_THAT(kept_.logs, ElementsAre("no event", "a log line"));
  EXPECT_EQ(kept_.model["adapter.bin"], "weights");
  EXPECT_EQ(kept_.output["metrics.jsonl"], "{}");
  EXPECT_THAT(left(), IsEmpty());
  EXPECT_THAT(kept_.states, ElementsAre("training job " + first_name() + ": Completed"));
}

TEST_F(SagemakerJobRunnerTest, the_channels_lie_where_the_job_looks_for_them) {
  aws_.container = [this](PlayedJob& job) {
    const Json& source = job.request["InputDataConfig"][0]["DataSource"]["S3DataSource"];
    EXPECT_EQ(source["S3Uri"], "s3://bucket/prefix/jobs/" + name_of(job) + "/input/train/");
    EXPECT_EQ(to_text(staging_.bytes_of("jobs/" + name_of(job) + "/input/train/a.txt")), "abc");
    write_outputs(job);
  };
  ASSERT_TRUE(run());
}

TEST_F(SagemakerJobRunnerTest, several_instances_get_certificates_by_which_they_know_each_other) {
  spec_.instances = 3;
  std::string certificate;
  aws_.container = [&](PlayedJob& job) {
    EXPECT_EQ(job.request["ResourceConfig"]["InstanceCount"], 3);
    EXPECT_EQ(job.request["EnableInterContainerTrafficEncryption"], true);
    const std::string folder = "jobs/" + name_of(job) + "/input/certificates/";
    EXPECT_EQ(job.request["InputDataConfig"][0]["ChannelName"], "certificates");
    const auto text = [&](const char* name) { return to_text(staging_.bytes_of(folder + name)); };
    certificate = text("rank.pem");
    EXPECT_TRUE(crypto::TlsPeerContext::create({certificate, Secret(text("rank-key.pem")), text("ca.pem")}));
    write_outputs(job);
  };
  ASSERT_TRUE(run());
  EXPECT_THAT(crypto::read_certificate(certificate)->dns_names, ElementsAre("*.job.internal"));
  EXPECT_THAT(left(), IsEmpty());  // the key too
  spec_.instances = 1;
  const auto alone = first_name();
  spec_.instances = 2;
  EXPECT_NE(first_name(), alone);
  spec_.instances = 101;
  EXPECT_EQ(run().error().code, ErrorCode::invalid_argument);
}

TEST_F(SagemakerJobRunnerTest, a_job_that_runs_already_is_watched_and_no_second_one_is_started) {
  aws_.jobs[first_name()].request = {{"TrainingJobName", first_name()}};
  write_outputs(aws_.jobs[first_name()]);
  ASSERT_TRUE(run());
  EXPECT_EQ(count("CreateTrainingJob"), 0);
  EXPECT_EQ(kept_.model["adapter.bin"], "weights");
}

TEST_F(SagemakerJobRunnerTest, a_job_that_ended_unwatched_is_not_run_again) {
  PlayedJob& job = aws_.jobs[first_name()];
  job.request = {{"TrainingJobName", first_name()}};
  job.looks_left = 0;
  write_outputs(job);
  ASSERT_TRUE(run());
  EXPECT_EQ(count("CreateTrainingJob"), 0);
  EXPECT_EQ(kept_.model["adapter.bin"], "weights");
  // What it made was taken: the same job is another attempt now.
  ASSERT_TRUE(run());
  EXPECT_EQ(count("CreateTrainingJob"), 1);
  EXPECT_TRUE(aws_.jobs.contains(job_name(*job_family(spec_, options_), 2)));
}

// Staging where what the job made can't be read.
class ClosedOutputs final : public ObjectStore {
 public:
  ClosedOutputs(ObjectStore& inner, ErrorCode code) : inner_(inner), code_(code) {}
  Status put(std::string_view key, Source& contents, PutMode mode) override { return inner_.put(key, contents, mode); }
  Result<std::unique_ptr<RandomAccess>> open(std::string_view key) override { return key.ends_with(".tar.gz") ? fail(code_, "no", std::string(key)) : inner_.open(key); }
  Result<std::vector<std::string>> list(std::string_view prefix) override { return inner_.list(prefix); }
  Status remove(std::string_view key) override { return inner_.remove(key); }

 private:
  ObjectStore& inner_;
  ErrorCode code_;
};

TEST_F(SagemakerJobRunnerTest, what_a_job_made_is_kept_where_it_could_not_be_read_and_nothing_is_trained_again) {
  for (const auto code : {ErrorCode::unavailable, ErrorCode::permission_denied}) {
    aws_.jobs.clear();
    kept_ = {};
    ClosedOutputs closed(staging_, code);
    const auto first = (*SagemakerJobRunner::create(options_, aws_, closed))->run(spec_, kept_);
    ASSERT_FALSE(first);
    EXPECT_EQ(first.error().code, code);
    EXPECT_THAT(first.error().hint, HasSubstr("still there"));
    for (const auto& key : left()) EXPECT_THAT(key, HasSubstr("/output/")) << "the training data goes";
    const auto second = run();
    ASSERT_TRUE(second) << second.error().message;
    EXPECT_EQ(aws_.jobs.size(), 1u);
    EXPECT_EQ(kept_.model["adapter.bin"], "weights");
    EXPECT_THAT(left(), IsEmpty());
  }
}

TEST_F(SagemakerJobRunnerTest, a_failed_attempt_is_followed_by_the_next_which_goes_on_from_the_checkpoint) {
  PlayedJob& job = aws_.jobs[first_name()];
  job.looks_left = 0;
  job.status = "Failed";
  spec_.checkpoints = {file("checkpoint-9/state", "old")};
  ASSERT_TRUE(run());
  EXPECT_EQ(aws_.jobs.size(), 2u);
  EXPECT_THAT(kept_.checkpoints, IsEmpty());
}

TEST_F(SagemakerJobRunnerTest, a_lost_answer_makes_no_second_job) {
  aws_.lists_late = true;
  for (const Error& lost : {Error{ErrorCode::unavailable, "HTTP 500: lost"}, Error{ErrorCode::already_exists, "ResourceInUse: there is one"}}) {
    aws_.jobs.clear();
    aws_.jobs[first_name()].request = {{"TrainingJobName", first_name()}};
    write_outputs(aws_.jobs[first_name()]);
    aws_.refuses["CreateTrainingJob"] = {lost};
    const auto result = run();
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ(aws_.jobs.size(), 1u);
    EXPECT_THAT(left(), IsEmpty());
  }
}

TEST_F(SagemakerJobRunnerTest, what_never_arrived_is_asked_for_again) {
  for (const char* operation : {"CreateTrainingJob", "CreateExperiment", "CreateTrial"}) {
    aws_.refuses[operation] = {{ErrorCode::unavailable, "HTTP 500: lost"}, {ErrorCode::unavailable, "HTTP 500: lost"}};
  }
  ASSERT_TRUE(run());
  EXPECT_EQ(aws_.jobs.size(), 1u);
  aws_.refuses["CreateTrainingJob"] = {3, {ErrorCode::unavailable, "HTTP 500: lost"}};
  const auto result = run();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::unavailable);
  EXPECT_THAT(left(), IsEmpty());
}

TEST_F(SagemakerJobRunnerTest, checkpoints_are_handed_over_once_they_do_not_change_any_more) {
  aws_.container = [this](PlayedJob& job) {
    write_outputs(job);
    job.looks_left = 5;
    put(checkpoints_of(name_of(job)) + "checkpoint-1.tmp/state", to_bytes("x"));
    put(checkpoints_of(name_of(job)) + "checkpoint-1/state", to_bytes("abc"));
  };
  ASSERT_TRUE(run());
  EXPECT_THAT(kept_.checkpoints, ElementsAre("checkpoint-1/state=abc"));
}

TEST_F(SagemakerJobRunnerTest, checkpoints_come_in_their_order_and_none_before_the_one_that_was_given) {
  aws_.container = [this](PlayedJob& job) {
    write_outputs(job);
    for (const char* step : {"5", "15", "9", "30", "100"}) put(checkpoints_of(name_of(job)) + "checkpoint-" + step + "/state", to_bytes(step));
  };
  spec_.checkpoints = {file("checkpoint-15/state", "old")};
  ASSERT_TRUE(run());
  EXPECT_THAT(kept_.checkpoints, ElementsAre("checkpoint-30/state=30", "checkpoint-100/state=100"));
}

TEST_F(SagemakerJobRunnerTest, a_container_that_fails_is_a_result_with_its_code_and_words) {
  aws_.container = [](PlayedJob& job) {
    job.status = job.detail = "Failed";
    job.reason = "AlgorithmError: the data is empty, exit code: 2";
  };
  const auto result = run();
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->exit_code, 2);
  EXPECT_EQ(result->failure, "the data is empty");
  EXPECT_THAT(left(), IsEmpty());
}

TEST_F(SagemakerJobRunnerTest, what_is_not_the_containers_fault_names_the_resource_and_the_cure) {
  const std::tuple<const char*, ErrorCode, const char*> cases[] = {
      {"CapacityError: Unable to provision requested ML compute capacity. Please retry using a different ML instance type.", ErrorCode::unavailable, "instance_type"},
      {"ClientError: Cannot pull the image: repository not found", ErrorCode::not_found, "push the image"},
      {"ClientError: AccessDenied when reading s3://bucket", ErrorCode::permission_denied, "redoubt-training"},
      {"InternalServerError: We encountered an internal error. Please try again.", ErrorCode::unavailable, "last checkpoint"},
  };
  for (const auto& [reason, code, cure] : cases) {
    aws_.container = [&](PlayedJob& job) { job.status = job.detail = "Failed", job.reason = reason; };
    const auto result = run();
    ASSERT_FALSE(result) << reason;
    EXPECT_EQ(result.error().code, code) << reason;
    EXPECT_THAT(result.error().hint, HasSubstr(cure));
    EXPECT_FALSE(result.error().where.empty());
    EXPECT_THAT(left(), IsEmpty());
  }
}

TEST_F(SagemakerJobRunnerTest, a_refused_start_names_the_resource_and_the_cure_and_leaves_nothing_behind) {
  const std::tuple<Error, ErrorCode, const char*> cases[] = {
      {{ErrorCode::limit_exceeded, "ResourceLimitExceeded: The account-level service limit 'ml.m5.2xlarge for spot training job usage' is 0 Instances"}, ErrorCode::limit_exceeded, "Service Quotas"},
      {{ErrorCode::invalid_argument, "ValidationException: Could not assume role arn:aws:iam::123456789012:role/redoubt-training."}, ErrorCode::permission_denied, "sagemaker.amazonaws.com"},
      {{ErrorCode::invalid_argument, "ValidationException: Cannot find repository: redoubt in registry ID: 123456789012"}, ErrorCode::not_found, "push the image"},
      {{ErrorCode::permission_denied, "AccessDeniedException: User is not authorized to perform: sagemaker:CreateTrainingJob"}, ErrorCode::permission_denied, "sagemaker:CreateTrainingJob"},
  };
  for (const auto& [refusal, code, cure] : cases) {
    aws_.refuses["CreateTrainingJob"] = {refusal};
    const auto result = run();
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, code) << refusal.message;
    EXPECT_THAT(result.error().hint, HasSubstr(cure));
    EXPECT_THAT(left(), IsEmpty());
    EXPECT_TRUE(aws_.jobs.empty());
  }
}

TEST_F(SagemakerJobRunnerTest, past_its_time_or_without_spot_capacity_says_so) {
  aws_.container = [](PlayedJob& job) { job.status = "Stopped", job.detail = "MaxRuntimeExceeded"; };
  EXPECT_THAT(run()->failure, HasSubstr("after 60 seconds"));
  aws_.container = [](PlayedJob& job) { job.status = "Stopped", job.detail = "MaxWaitTimeExceeded"; };
  const auto waited = run();
  EXPECT_EQ(waited.error().code, ErrorCode::unavailable);
  EXPECT_THAT(waited.error().message, HasSubstr("spot"));
}

TEST_F(SagemakerJobRunnerTest, interrupted_it_stops_the_job_keeps_its_checkpoint_and_waits) {
  aws_.container = [this](PlayedJob& job) {
    job.looks_left = 1000;
    put(checkpoints_of(name_of(job)) + "checkpoint-1/state", to_bytes("abc"));
  };
  options_.checkpoint_settle = std::chrono::hours(1);
  aws_.on_look = [this](PlayedJob&) { interrupted_ = true; };
  const auto result = run();
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, HasSubstr("interrupted"));
  EXPECT_TRUE(aws_.jobs[first_name()].stopped);
  EXPECT_THAT(kept_.checkpoints, ElementsAre("checkpoint-1/state=abc"));
  EXPECT_THAT(left(), IsEmpty());
}

TEST_F(SagemakerJobRunnerTest, interrupted_while_it_sends_it_starts_nothing_and_leaves_nothing) {
  interrupted_ = true;
  const auto result = run();
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, HasSubstr("interrupted before"));
  EXPECT_TRUE(aws_.jobs.empty());
  EXPECT_THAT(left(), IsEmpty());
}

TEST_F(SagemakerJobRunnerTest, an_error_of_the_handler_stops_the_job) {
  aws_.container = [this](PlayedJob& job) { write_outputs(job), job.looks_left = 1000; };
  kept_.answer = fail(ErrorCode::limit_exceeded, "enough");
  const auto result = run();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message, "enough");
  EXPECT_TRUE(aws_.jobs[first_name()].stopped);
  EXPECT_EQ(kept_.events.size(), 1u);
  EXPECT_THAT(left(), IsEmpty());
}

TEST_F(SagemakerJobRunnerTest, a_service_that_is_away_for_a_while_is_waited_for) {
  options_.outage_max = std::chrono::seconds(60);
  for (const char* operation : {"DescribeTrainingJob", "DescribeLogStreams", "GetLogEvents"}) {
    aws_.refuses[operation] = {{ErrorCode::unavailable, "HTTP 503: away"}, {ErrorCode::unavailable, "HTTP 503: away"}};
  }
  ASSERT_TRUE(run());
  EXPECT_EQ(kept_.events.size(), 1u);
  EXPECT_EQ(kept_.model["adapter.bin"], "weights");
}

TEST_F(SagemakerJobRunnerTest, a_job_that_may_not_be_seen_any_more_goes_on_and_keeps_its_inputs) {
  aws_.refuses["DescribeTrainingJob"] = {{ErrorCode::permission_denied, "ExpiredTokenException: over"}};
  const auto result = run();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::permission_denied);
  EXPECT_THAT(result.error().message, HasSubstr(first_name()));
  EXPECT_FALSE(aws_.jobs[first_name()].stopped);
  EXPECT_FALSE(left().empty());
  ASSERT_TRUE(run());
  EXPECT_EQ(count("CreateTrainingJob"), 1);
  EXPECT_THAT(left(), IsEmpty());
}

TEST_F(SagemakerJobRunnerTest, what_an_earlier_attempt_left_is_removed) {
  PlayedJob& job = aws_.jobs[first_name()];
  job.looks_left = 0;
  job.status = "Stopped";
  put(inputs_of(first_name()) + "train/a.txt", to_bytes("abc"));
  put("jobs/another-1/input/train/a.txt", to_bytes("abc"));
  ASSERT_TRUE(run());
  EXPECT_THAT(left(), ElementsAre("jobs/another-1/input/train/a.txt"));
}

TEST_F(SagemakerJobRunnerTest, the_same_job_has_the_same_name_and_another_one_another) {
  const std::string name = *job_family(spec_, options_);
  EXPECT_EQ(*job_family(spec_, options_), name);
  spec_.checkpoints = {file("checkpoint-9/state", "old")};
  EXPECT_EQ(*job_family(spec_, options_), name);
  spec_.channels["train"] = {file("a.txt", "abd")};
  EXPECT_NE(*job_family(spec_, options_), name);
  spec_.key = "k";
  const std::string keyed = *job_family(spec_, options_);
  options_.workspace = "w2";
  EXPECT_NE(*job_family(spec_, options_), keyed);
}

// tests/aws/training_job_test.py judges the file by botocore's model and runs a container as it says.
TEST_F(SagemakerJobRunnerTest, the_request_is_the_recorded_one) {
  spec_.key = "key";
  spec_.entry_point = "evaluate";
  spec_.hyperparameters = {{"dtype", "fp32"}, {"max_length", 64}, {"generations", 1}, {"generation_tokens", 4}};
  spec_.channels = {{"model", {file("config.json", "{}")}}, {"eval", {file("eval.jsonl", "{}")}}};
  const std::filesystem::path recorded = REDOUBT_RECORDED_JOB;
  const Json request = *training_job_request("redoubt-evaluate-0123456789abcdef-1", spec_, options_);
  EXPECT_EQ(request, *parse_json(*read_text_file(recorded), recorded.string())) << request.dump(2);
}

TEST_F(SagemakerJobRunnerTest, a_type_with_disks_of_its_own_takes_neither_key_nor_size) {
  options_.instance_type = "ml.g5.2xlarge";
  const Json request = *training_job_request("x", spec_, options_);
  EXPECT_EQ(request["ResourceConfig"], Json({{"InstanceType", "ml.g5.2xlarge"}, {"InstanceCount", 1}}));
  EXPECT_FALSE(request["AlgorithmSpecification"].contains("ContainerEntrypoint"));
  EXPECT_EQ(request["StoppingCondition"]["MaxWaitTimeInSeconds"], 120);
}

TEST_F(SagemakerJobRunnerTest, wrong_options_are_refused_before_anything_is_asked) {
  const auto refuses = [&](auto change) {
    SagemakerJobOptions wrong = options_;
    change(wrong);
    return SagemakerJobRunner::create(wrong, aws_, staging_).error().code;
  };
  EXPECT_EQ(refuses([](auto& o) { o.role_arn = "role"; }), ErrorCode::invalid_argument);
  EXPECT_EQ(refuses([](auto& o) { o.subnets.clear(); }), ErrorCode::invalid_argument);
  EXPECT_EQ(refuses([](auto& o) { o.staging_uri = "bucket"; }), ErrorCode::invalid_argument);
  EXPECT_EQ(refuses([](auto& o) { o.image_repository = "x"; }), ErrorCode::invalid_argument);
  EXPECT_EQ(refuses([](auto& o) { o.image_repository = "registry.corp/x", o.subnets.clear(), o.security_groups.clear(); }), ErrorCode::invalid_argument);
}

TEST_F(SagemakerJobRunnerTest, a_signal_is_noted_and_its_old_way_is_put_back) {
  {
    const Interrupts interrupts;
    EXPECT_FALSE(Interrupts::came());
    raise(SIGTERM);
    EXPECT_TRUE(Interrupts::came());
  }
  struct sigaction now = {};
  sigaction(SIGTERM, nullptr, &now);
  EXPECT_EQ(now.sa_handler, SIG_DFL);
}

Result<std::vector<JobFile>> unpack(const Bytes& bytes, const ArchiveLimits& limits = {}) {
  MemorySource source(bytes);
  return unpack_archive(source, "output.tar.gz", limits);
}

TEST(JobArchive, files_are_given_back_whole) {
  const auto files = unpack(make_archive({{"a/b", "one"}, {"./c", std::string(700'000, 'x')}}));
  ASSERT_TRUE(files) << files.error().message;
  ASSERT_EQ(files->size(), 2u);
  EXPECT_EQ((*files)[0].path, "a/b");
  EXPECT_EQ(contents((*files)[0]), "one");
  EXPECT_EQ(contents((*files)[1]).size(), 700'000u);
}

TEST(JobArchive, what_leaves_its_folder_is_refused) {
  for (const char* path : {"../x", "/etc/passwd", "a/../../x", "a//b"}) {
    EXPECT_EQ(unpack(make_archive({{path, "x"}})).error().code, ErrorCode::permission_denied) << path;
  }
  EXPECT_EQ(unpack(make_archive({{"x", "/etc/passwd"}}, AE_IFLNK)).error().code, ErrorCode::permission_denied);
  EXPECT_EQ(unpack(make_archive({{"x", "1"}, {"./x", "2"}})).error().code, ErrorCode::permission_denied);
}

TEST(JobArchive, more_than_the_limits_is_refused) {
  const Bytes big = make_archive({{"x", std::string(900'000, 'x')}});
  EXPECT_LT(big.size(), 10'000u);
  EXPECT_EQ(unpack(big, {.bytes_max = 800'000}).error().code, ErrorCode::limit_exceeded);
  EXPECT_EQ(unpack(make_archive({{"a", ""}, {"b", ""}}), {.files_max = 1}).error().code, ErrorCode::limit_exceeded);
}

TEST(JobArchive, a_cut_or_changed_archive_is_tampered) {
  Bytes whole = make_archive({{"x", std::string(100'000, 'x') + "end"}});
  const Bytes cut(whole.begin(), whole.end() - 40);
  EXPECT_EQ(unpack(cut).error().code, ErrorCode::tampered);
  EXPECT_EQ(unpack(to_bytes("no archive")).error().code, ErrorCode::tampered);
}

}  // namespace
}  // namespace redoubt::provider::aws
