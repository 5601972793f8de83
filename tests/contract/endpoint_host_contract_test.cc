// SPDX-License-Identifier: Apache-2.0
//
// What every EndpointHost promises (src/provider/endpoint_host.h). The process of the embedded one is played by a script that keeps
// its side of the status file; the real one is in tests/pipeline.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "provider/aws/s3_object_store.h"
#include "provider/aws/sagemaker_endpoint.h"
#include "provider/aws/testing_endpoints.h"
#include "provider/local/endpoint_process.h"
#include "provider/testing/fake_endpoint_host.h"
#include "provider/testing/fake_stores.h"
#include "tests/contract/aws_case.h"

namespace redoubt::provider {
namespace {

EndpointSpec spec(const std::string& version, char digit) {
  EndpointSpec spec;
  spec.environment = "dev";
  spec.model = "assistant";
  spec.version = version;
  spec.deployment = "sha256:" + std::string(64, digit);
  spec.image = "sha256:" + std::string(64, '0');
  spec.release = "sha256:" + std::string(64, digit);
  return spec;
}

struct HostUnderTest {
  virtual ~HostUnderTest() = default;
  virtual EndpointHost& host() = 0;
  virtual void record(const EndpointSpec& spec) { (void)spec; }  // what the ledger says of the environment
  virtual void break_next() = 0;                                  // the next deployment does not come up
};

struct FakeHostCase final : HostUnderTest {
  EndpointHost& host() override { return host_; }
  void break_next() override { host_.failures_left = 1; }
  testing::FakeEndpointHost host_;
};

// A process that serves what the file `wanted` says, follows it at SIGHUP, and fails where the file `broken` is.
constexpr const char* kPlayed = R"(
import fcntl, json, os, signal, sys
folder = sys.argv[1]
lock = open(folder + "/endpoint-dev.lock", "w")
fcntl.flock(lock, fcntl.LOCK_EX)
status = {"running": True, "pid": os.getpid(), "state": "starting", "url": "https://localhost:1", "ca_file": "ca.pem", "model": "", "version": "",
          "deployment": "", "error": "", "started": "2026-01-01T00:00:00.000Z", "looks_begun": 0, "looks_done": 0}
signals = {signal.SIGHUP, signal.SIGTERM}
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
def write():
    with open(folder + "/endpoint-dev.json.new", "w") as file: json.dump(status, file)
    os.rename(folder + "/endpoint-dev.json.new", folder + "/endpoint-dev.json")
def look():
    if os.path.exists(folder + "/broken"):
        os.remove(folder + "/broken")
        status.update(state="failed", error="it is broken")
        return False
    wanted = open(folder + "/wanted").read().split()
    if wanted[0] == "nothing": status.update(state="revoked", model="", version="", deployment="")
    else: status.update(state="serving", error="", model=wanted[0], version=wanted[1], deployment=wanted[2])
    return True
started = look()
write()
while started:
    if signal.sigwait(signals) == signal.SIGTERM:
        status.update(state="stopped", running=False)
        write()
        break
    status["looks_begun"] += 1
    look()
    status["looks_done"] = status["looks_begun"]
    write()
)";

struct LocalHostCase final : HostUnderTest {
  LocalHostCase() { EXPECT_TRUE(write_file(folder_.path() / "play.py", std::string_view(kPlayed))); }
  ~LocalHostCase() override { EXPECT_TRUE(host_.stop("dev")); }
  EndpointHost& host() override { return host_; }
  void record(const EndpointSpec& spec) override { EXPECT_TRUE(write_file(folder_.path() / "wanted", spec.model + " " + spec.version + " " + spec.deployment)); }
  void break_next() override { EXPECT_TRUE(write_file(folder_.path() / "broken", std::string_view("yes"))); }
  TemporaryFolder folder_ = *TemporaryFolder::create();
  local::LocalEndpointHost host_{folder_.path(), [this](const std::string&) {
                                   return local::EndpointProgram{"/usr/bin/python3", {"python3", (folder_.path() / "play.py").string(), folder_.path().string()}};
                                 }};
};

// In an account, below a name of its own; images of the repository "broken" never serve there.
struct AwsHostCase final : HostUnderTest, EndpointHost {
  AwsHostCase() {
    aws::RestRequest request;
    request.operation = "CreateBucket";
    request.method = "PUT";
    request.bucket = bucket_;
    request.headers.add("Content-Type", "application/xml");
    request.body = "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LocationConstraint>" + aws::test_client()->region() + "</LocationConstraint></CreateBucketConfiguration>";
    MemorySink sink;
    EXPECT_TRUE(aws::test_client()->send(request, sink));
    models_ = *aws::S3ObjectStore::create({.bucket = bucket_, .prefix = "endpoints/", .kms_key = "alias/aws/s3"}, *aws::test_client());
    whole_ = make("redoubt");
    broken_ = make("broken");
  }
  std::unique_ptr<EndpointHost> make(const std::string& repository) {
    aws::SagemakerEndpointOptions options;
    options.name_prefix = "rd-" + bucket_.substr(bucket_.size() - 8);
    options.workspace = "w1";
    options.image_repository = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/" + repository;
    options.role_arn = "arn:aws:iam::123456789012:role/redoubt-endpoint";
    options.models_uri = "s3://" + bucket_ + "/endpoints/";
    options.poll_ms = 5;
    return aws::SagemakerEndpoint::create(options, *aws::test_client(), *models_).value();
  }
  EndpointHost& host() override { return *this; }
  void break_next() override { break_next_ = true; }
  Result<EndpointStatus> deploy(const EndpointSpec& spec) override { return (std::exchange(break_next_, false) ? broken_ : whole_)->deploy(spec); }
  Result<EndpointStatus> status(const std::string& environment) override { return whole_->status(environment); }
  Status withdraw(const std::string& environment, const std::string& model, const std::string& version) override { return whole_->withdraw(environment, model, version); }
  Status stop(const std::string& environment) override { return whole_->stop(environment); }
  const std::string bucket_ = aws::unique_name();
  bool break_next_ = false;
  std::unique_ptr<ObjectStore> models_;
  std::unique_ptr<EndpointHost> whole_, broken_;
};

// SageMaker's endpoints are played here too, so that the suite runs without an account.
struct SagemakerCase final : HostUnderTest {
  EndpointHost& host() override { return *host_; }
  void break_next() override {
    client_.outcome = [this](auto& endpoint) {
      if (endpoint.shown["EndpointStatus"] == "InService" && endpoint.changing == "Updating") {
        endpoint.next["EndpointConfigName"] = endpoint.shown["EndpointConfigName"];
      } else {
        endpoint.next["EndpointStatus"] = "Failed";
      }
      client_.outcome = [](auto&) {};
    };
  }
  static aws::SagemakerEndpointOptions options() {
    aws::SagemakerEndpointOptions options;
    options.workspace = "w1";
    options.image_repository = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/redoubt";
    options.role_arn = "arn:aws:iam::123456789012:role/redoubt-endpoint";
    options.models_uri = "s3://bucket/endpoints/";
    options.poll_ms = 0;
    return options;
  }
  aws::PlayedEndpoints client_;
  testing::FakeObjectStore models_;
  std::unique_ptr<EndpointHost> host_ = aws::SagemakerEndpoint::create(options(), client_, models_).value();
};

struct HostCase {
  const char* name;
  std::unique_ptr<HostUnderTest> (*make)();
};

template <class T>
std::unique_ptr<HostUnderTest> make_host() {
  return std::make_unique<T>();
}

class EndpointHostContract : public ::testing::TestWithParam<HostCase> {
 protected:
  std::unique_ptr<HostUnderTest> under_test_ = GetParam().make();
  EndpointHost& host() { return under_test_->host(); }
  Result<EndpointStatus> deploy(const EndpointSpec& spec) {
    under_test_->record(spec);
    return host().deploy(spec);
  }
  void expect_serving(const EndpointSpec& spec) {
    const auto status = host().status("dev").value();
    EXPECT_TRUE(status.running);
    EXPECT_EQ(status.state, "serving");
    EXPECT_EQ(status.name, spec.model);
    EXPECT_EQ(status.version, spec.version);
    EXPECT_EQ(status.deployment, spec.deployment);
  }
};

TEST_P(EndpointHostContract, nothing_serves_before_the_first_deployment) {
  EXPECT_EQ(host().status("dev").value().state, "stopped");
  EXPECT_FALSE(host().status("dev").value().running);
  EXPECT_TRUE(host().stop("dev"));
}

TEST_P(EndpointHostContract, serves_what_was_deployed_last) {
  const auto first = deploy(spec("1.0.0", '1'));
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_TRUE(first->url.starts_with("https://"));
  expect_serving(spec("1.0.0", '1'));
  ASSERT_TRUE(deploy(spec("1.0.0", '1')));
  ASSERT_TRUE(deploy(spec("1.1.0", '2')));
  expect_serving(spec("1.1.0", '2'));
}

TEST_P(EndpointHostContract, goes_back_to_the_version_before) {
  ASSERT_TRUE(deploy(spec("1.0.0", '1')));
  ASSERT_TRUE(deploy(spec("1.1.0", '2')));
  auto back = spec("1.0.0", '1');
  back.rollback = true;
  ASSERT_TRUE(deploy(back));
  expect_serving(back);
}

TEST_P(EndpointHostContract, a_deployment_that_fails_says_so_and_the_next_one_works) {
  under_test_->break_next();
  EXPECT_FALSE(deploy(spec("1.0.0", '1')));
  ASSERT_TRUE(deploy(spec("1.0.0", '1')));
  under_test_->break_next();
  const auto broken = deploy(spec("1.1.0", '2'));
  ASSERT_FALSE(broken);
  EXPECT_TRUE(broken.error().code == ErrorCode::unavailable || broken.error().code == ErrorCode::gate_refused);
  EXPECT_EQ(host().status("dev").value().version, "1.0.0");
  ASSERT_TRUE(deploy(spec("1.1.0", '2')));
  expect_serving(spec("1.1.0", '2'));
}

TEST_P(EndpointHostContract, a_withdrawn_version_is_served_no_longer) {
  ASSERT_TRUE(deploy(spec("1.0.0", '1')));
  auto nothing = spec("", '0');
  nothing.model = "nothing";
  nothing.version = "none";
  under_test_->record(nothing);
  ASSERT_TRUE(host().withdraw("dev", "assistant", "1.0.0"));
  EXPECT_NE(host().status("dev").value().state, "serving");
}

TEST_P(EndpointHostContract, what_was_stopped_is_gone_and_can_be_deployed_again) {
  ASSERT_TRUE(deploy(spec("1.0.0", '1')));
  ASSERT_TRUE(host().stop("dev"));
  EXPECT_EQ(host().status("dev").value().state, "stopped");
  EXPECT_TRUE(host().stop("dev"));
  ASSERT_TRUE(deploy(spec("1.0.0", '1')));
  expect_serving(spec("1.0.0", '1'));
}

INSTANTIATE_TEST_SUITE_P(All, EndpointHostContract, 
                         ::testing::ValuesIn(aws::with_aws<HostCase>({{"fake", make_host<FakeHostCase>}, {"local", make_host<LocalHostCase>},
                                                                  {"sagemaker", make_host<SagemakerCase>}},
                                                                 {"aws", make_host<AwsHostCase>})),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace redoubt::provider
