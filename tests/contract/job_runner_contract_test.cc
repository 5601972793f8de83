// SPDX-License-Identifier: Apache-2.0
//
// What every JobRunner promises (src/provider/job_runner.h). The job is a program that reads its channels, writes a model, an
// output and checkpoints, and behaves as its entry point's name says (src/sandbox/probe/probe.cc).
#include "provider/job_runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "provider/aws/aws_kms.h"
#include "provider/aws/s3_object_store.h"
#include "provider/aws/sagemaker_job_runner.h"
#include "provider/local/image_store.h"
#include "provider/local/job_runner.h"
#include "provider/testing/job_files.h"
#include "sandbox/probe/tar.h"
#include "tests/contract/aws_case.h"

namespace redoubt::provider {
namespace {

using ::testing::ElementsAre;

using testing::contents;
using testing::file;
using testing::Kept;

struct RunnerUnderTest {
  virtual ~RunnerUnderTest() = default;
  virtual JobRunner& runner() = 0;
  virtual std::string image() = 0;  // one that holds the program
};

// An image that holds the program alone.
std::string put_probe_image(ImageStore& images) {
  const auto put = [&](const Bytes& bytes) {
    MemorySource source(bytes);
    return *images.put_blob(source);
  };
  const Digest layer = put(sandbox::probe_image::make_tar({{"usr/bin/probe", *read_text_file(REDOUBT_PROBE, 64 << 20)}}));
  const Digest config = put(to_bytes(dump_json({{"config", {{"Entrypoint", {"/usr/bin/probe"}}}}})));
  const Json manifest = {{"schemaVersion", 2},
                         {"config", {{"mediaType", "application/vnd.oci.image.config.v1+json"}, {"digest", config.tagged()}}},
                         {"layers", {{{"mediaType", "application/vnd.oci.image.layer.v1.tar"}, {"digest", layer.tagged()}}}}};
  return put(to_bytes(dump_json(manifest))).tagged();
}

struct LocalRunnerCase final : RunnerUnderTest {
  JobRunner& runner() override { return runner_; }
  std::string image() override { return image_; }

  TemporaryFolder folder_ = *TemporaryFolder::create();
  std::unique_ptr<local::LocalImageStore> images_ = *local::LocalImageStore::open(folder_.path() / "images");
  local::LocalJobRunner runner_{{}, *images_};
  std::string image_ = put_probe_image(*images_);
};

// A bucket and a role of its own. The jobs are played by tests/aws/player.py, which finds the image in REDOUBT_AWS_IMAGES.
struct AwsRunnerCase final : RunnerUnderTest {
  AwsRunnerCase() {
    auto& client = *aws::test_client();
    const std::string name = name_ = aws::unique_name(), key = "alias/" + name;
    CHECK(aws::AwsKms(client).create_key("aws-kms:" + key));
    CHECK(client.call("s3", "CreateBucket", {{"Bucket", name}, {"CreateBucketConfiguration", {{"LocationConstraint", client.region()}}}}));
    CHECK(client.call("s3", "PutBucketVersioning", {{"Bucket", name}, {"VersioningConfiguration", {{"Status", "Enabled"}}}}));
    const Json role = *client.call("iam", "CreateRole", {{"RoleName", name}, {"AssumeRolePolicyDocument", R"({"Version":"2012-10-17","Statement":[]})"}});
    aws::S3ObjectStoreOptions objects;
    objects.bucket = name;
    objects.prefix = "work/";
    objects.kms_key = key;
    objects.keep_versions = false;
    staging_ = *aws::S3ObjectStore::create(objects, client);
    aws::SagemakerJobOptions options;
    options.image_repository = "123456789012.dkr.ecr." + client.region() + ".amazonaws.com/redoubt";
    options.role_arn = role["Role"]["Arn"];
    options.staging_uri = "s3://" + name + "/work/";
    options.kms_key = key;
    options.workspace = name;
    options.program = {"/usr/bin/probe"};
    options.poll = std::chrono::milliseconds(100);
    runner_ = *aws::SagemakerJobRunner::create(options, client, *staging_);
  }
  ~AwsRunnerCase() override {
    EXPECT_THAT(staging_->list("").value(), ::testing::IsEmpty());
    const Json versions = aws::test_client()->call("s3", "ListObjectVersions", {{"Bucket", name_}}).value();
    EXPECT_TRUE(json_or(versions, "Versions", Json::array()).empty() && json_or(versions, "DeleteMarkers", Json::array()).empty()) << versions;
  }
  JobRunner& runner() override { return *runner_; }
  std::string image() override { return put_probe_image(**local::LocalImageStore::open(std::getenv("REDOUBT_AWS_IMAGES"))); }

  std::string name_;
  std::unique_ptr<aws::S3ObjectStore> staging_;
  std::unique_ptr<aws::SagemakerJobRunner> runner_;
};

struct RunnerCase {
  const char* name;
  std::unique_ptr<RunnerUnderTest> (*make)();
};

template <class T>
std::unique_ptr<RunnerUnderTest> make_runner() {
  return std::make_unique<T>();
}

class JobRunnerContract : public ::testing::TestWithParam<RunnerCase> {
 protected:
  void SetUp() override {
    spec_.image = under_test_->image();
    spec_.entry_point = "train";
    spec_.hyperparameters = {{"seed", "7"}};
    spec_.channels["train"] = {file("a.txt", "abc")};
  }
  Result<JobResult> run() { return under_test_->runner().run(spec_, kept_); }

  std::unique_ptr<RunnerUnderTest> under_test_ = GetParam().make();
  JobSpec spec_;
  Kept kept_;
};

TEST_P(JobRunnerContract, a_job_reads_its_channels_and_gives_back_what_it_wrote) {
  const auto result = run();
  ASSERT_TRUE(result) << result.error().message << result.error().where;
  EXPECT_EQ(result->exit_code, 0);
  EXPECT_EQ(result->failure, "");
  EXPECT_THAT(kept_.events, ElementsAre(R"({"event":"plan","steps":1})"));
  EXPECT_THAT(kept_.logs, ::testing::UnorderedElementsAre("no event", "a log line"));
  EXPECT_EQ(kept_.model["adapter.bin"], "abcabc");
  EXPECT_EQ(kept_.output["config.json"], R"({"seed":"7"})");
}

TEST_P(JobRunnerContract, finished_checkpoints_are_handed_over_and_unfinished_ones_are_not) {
  ASSERT_TRUE(run());
  EXPECT_THAT(kept_.checkpoints, ElementsAre("checkpoint-1/state=abc"));
}

TEST_P(JobRunnerContract, checkpoints_that_were_put_back_are_not_handed_over_again) {
  spec_.entry_point = "ids";
  spec_.checkpoints = {file("checkpoint-9/state", "old")};
  ASSERT_TRUE(run());
  EXPECT_TRUE(kept_.checkpoints.empty());
}

TEST_P(JobRunnerContract, a_failed_job_is_a_result_with_the_start_of_its_failure_text) {
  spec_.entry_point = "fail_job";
  const auto result = run();
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->exit_code, 3);
  EXPECT_THAT(result->failure.size(), ::testing::AllOf(::testing::Ge(900u), ::testing::Le(1024u)));
  EXPECT_EQ(result->failure, std::string(result->failure.size(), 'f'));
  EXPECT_TRUE(kept_.model.empty());
}

TEST_P(JobRunnerContract, a_job_past_its_time_is_ended_and_says_so) {
  spec_.entry_point = "wait";
  spec_.time_s_max = 1;
  const auto result = run();
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_NE(result->exit_code, 0);
  EXPECT_THAT(result->failure, ::testing::HasSubstr("after 1 seconds"));
}

TEST_P(JobRunnerContract, a_channel_or_file_that_leaves_its_folder_is_refused) {
  spec_.channels["../x"] = {file("a", "b")};
  EXPECT_EQ(run().error().code, ErrorCode::invalid_argument);
  spec_.channels.erase("../x");
  spec_.channels["train"] = {file("../../config/hyperparameters.json", "b")};
  EXPECT_EQ(run().error().code, ErrorCode::invalid_argument);
}

TEST_P(JobRunnerContract, an_error_of_the_handler_ends_the_job) {
  struct Refusing : Kept {
    Status on_event(const Json&) override { return fail(ErrorCode::limit_exceeded, "enough"); }
  } refusing;
  const auto result = under_test_->runner().run(spec_, refusing);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message, "enough");
}

INSTANTIATE_TEST_SUITE_P(Runners, JobRunnerContract, ::testing::ValuesIn(aws::with_aws<RunnerCase>({{"local", make_runner<LocalRunnerCase>}}, {"aws", make_runner<AwsRunnerCase>})),
                         [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace redoubt::provider
