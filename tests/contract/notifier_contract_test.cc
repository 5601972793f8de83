// SPDX-License-Identifier: Apache-2.0
//
// What every Notifier promises (src/provider/notifier.h), and what the webhook promises its receiver (docs/formats/webhook.md).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "crypto/hash.h"
#include "http/server.h"
#include "http/testing_client.h"
#include "provider/aws/sns_notifier.h"
#include "provider/local/webhook_notifier.h"
#include "provider/testing/fake_notifier.h"
#include "provider/testing/fake_stores.h"
#include "tests/contract/aws_case.h"

namespace redoubt::provider {
namespace {

using ::testing::HasSubstr;

// An HTTPS receiver that answers as it is told, then 200.
class Receiver final : public http::Handler {
 public:
  Receiver() {
    http::ServerOptions options;
    options.certificate_pem = certificate_.certificate_pem;
    options.private_key_pem = certificate_.private_key_pem;
    server_ = http::Server::start(std::move(options), *this).value();
  }
  void on_request(http::Request request, http::Responder responder) override {
    const std::lock_guard lock(mutex_);
    requests_.push_back(std::move(request));
    const int status = answers_.empty() ? 200 : answers_.front();
    if (!answers_.empty()) answers_.erase(answers_.begin());
    if (status == 0) return held_.push_back(responder);  // never answered
    http::Headers headers;
    if (status == 302) headers.add("Location", "https://localhost:1/elsewhere");
    responder.send({status, headers, "ok", {}, 0, 0});
  }
  void answer(std::vector<int> statuses) {
    const std::lock_guard lock(mutex_);
    answers_ = std::move(statuses);
  }
  std::vector<http::Request> requests() {
    const std::lock_guard lock(mutex_);
    return requests_;
  }
  void stop() { server_.reset(); }
  std::string url() const { return "https://localhost:" + std::to_string(server_->port()) + "/alarms"; }
  const std::string& ca_pem() const { return certificate_.ca_pem; }

 private:
  std::mutex mutex_;
  std::vector<http::Request> requests_;
  std::vector<int> answers_;
  std::vector<http::Responder> held_;
  http::testing::TestCertificate certificate_ = http::testing::make_test_certificate();
  std::unique_ptr<http::Server> server_;
};

struct NotifierUnderTest {
  virtual ~NotifierUnderTest() = default;
  virtual Notifier& notifier() = 0;
  virtual std::vector<Json> received() = 0;
  virtual void go_away() = 0;  // the receiver answers no more
};

struct FakeNotifierCase final : NotifierUnderTest {
  Notifier& notifier() override { return notifier_; }
  std::vector<Json> received() override { return notifier_.received; }
  void go_away() override { notifier_.failures_left = 1'000; }
  testing::FakeNotifier notifier_;
};

struct WebhookCase final : NotifierUnderTest {
  WebhookCase() {
    EXPECT_TRUE(write_file(folder_.path() / "ca.pem", receiver_.ca_pem(), FileMode::readable_by_all));
    EXPECT_TRUE(secrets_.put("webhook/key", Secret("shared secret")));
    notifier_ = local::WebhookNotifier::create(options(), secrets_, clock_).value();
  }
  local::WebhookOptions options() const {
    return {.url = receiver_.url(), .ca_file = (folder_.path() / "ca.pem").string(), .secret_name = "webhook/key", .attempt_s_max = 1, .backoff_ms = 1};
  }
  Notifier& notifier() override { return *notifier_; }
  std::vector<Json> received() override {
    std::vector<Json> bodies;
    for (const auto& request : receiver_.requests()) bodies.push_back(Json::parse(request.body));
    return bodies;
  }
  void go_away() override { receiver_.stop(); }

  FakeClock clock_;
  testing::FakeSecretStore secrets_{clock_};
  TemporaryFolder folder_ = *TemporaryFolder::create();
  Receiver receiver_;
  std::unique_ptr<local::WebhookNotifier> notifier_;
};

// A topic, and a queue that hears of all that is published to it.
struct AwsNotifierCase final : NotifierUnderTest {
  AwsNotifierCase() {
    topic_ = call("sns", "CreateTopic", {{"Name", name_}})["TopicArn"];
    queue_ = call("sqs", "CreateQueue", {{"QueueName", name_}, {"Attributes", {{"VisibilityTimeout", "0"}}}})["QueueUrl"];
    const Json about = call("sqs", "GetQueueAttributes", {{"QueueUrl", queue_}, {"AttributeNames", {"QueueArn"}}});
    call("sns", "Subscribe", {{"TopicArn", topic_}, {"Protocol", "sqs"}, {"Endpoint", about["Attributes"]["QueueArn"]}, {"Attributes", {{"RawMessageDelivery", "true"}}}});
    notifier_ = aws::SnsNotifier::create({topic_}, *aws::test_client(), clock_).value();
  }
  static Json call(const char* service, const char* operation, const Json& input) { return aws::test_client()->call(service, operation, input).value(); }
  Notifier& notifier() override { return *notifier_; }
  std::vector<Json> received() override {
    std::vector<Json> bodies;
    const Json answer = call("sqs", "ReceiveMessage", {{"QueueUrl", queue_}, {"MaxNumberOfMessages", 10}});
    for (const auto& message : json_or(answer, "Messages", Json::array())) bodies.push_back(Json::parse(message["Body"].get<std::string>()));
    return bodies;
  }
  void go_away() override {
    aws::ClientOptions options;
    options.endpoint_url = "https://127.0.0.1:1";
    options.attempts_max = 1;
    elsewhere_ = aws::Client::create(options, clock_).value();
    notifier_ = aws::SnsNotifier::create({topic_}, *elsewhere_, clock_).value();
  }
  SystemClock clock_;
  const std::string name_ = aws::unique_name();
  std::string topic_, queue_;
  std::unique_ptr<aws::Client> elsewhere_;
  std::unique_ptr<aws::SnsNotifier> notifier_;
};

struct NotifierCase {
  const char* name;
  std::unique_ptr<NotifierUnderTest> (*make)();
};

template <class T>
std::unique_ptr<NotifierUnderTest> make_notifier() {
  return std::make_unique<T>();
}

class NotifierContract : public ::testing::TestWithParam<NotifierCase> {
 protected:
  std::unique_ptr<NotifierUnderTest> under_test_ = GetParam().make();
};

TEST_P(NotifierContract, brings_subject_and_body_in_order) {
  ASSERT_TRUE(under_test_->notifier().notify("one", {{"id", "1"}, {"value", 2.5}, {"text", "\u00e4\n\""}}));
  ASSERT_TRUE(under_test_->notifier().notify("two", {{"id", "2"}}));
  const auto received = under_test_->received();
  ASSERT_EQ(received.size(), 2u);
  EXPECT_EQ(received[0]["subject"], "one");
  EXPECT_EQ(received[0]["value"], 2.5);
  EXPECT_EQ(received[0]["text"], "\u00e4\n\"");
  EXPECT_EQ(received[1]["id"], "2");
}

TEST_P(NotifierContract, a_receiver_that_is_gone_is_unavailable) {
  under_test_->go_away();
  EXPECT_EQ(under_test_->notifier().notify("one", Json::object()).error().code, ErrorCode::unavailable);
}

TEST_P(NotifierContract, what_is_no_notification_is_refused_and_not_sent) {
  EXPECT_EQ(under_test_->notifier().notify("", Json::object()).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(under_test_->notifier().notify("a\nb", Json::object()).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(under_test_->notifier().notify("a", Json::array()).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(under_test_->notifier().notify("a", {{"text", std::string(70'000, 'x')}}).error().code, ErrorCode::limit_exceeded);
  EXPECT_TRUE(under_test_->received().empty());
}

INSTANTIATE_TEST_SUITE_P(All, NotifierContract, 
                         ::testing::ValuesIn(aws::with_aws<NotifierCase>({{"fake", make_notifier<FakeNotifierCase>}, {"webhook", make_notifier<WebhookCase>}},
                                                                 {"aws", make_notifier<AwsNotifierCase>})),
                         [](const auto& test) { return test.param.name; });

TEST(Webhook, is_signed_over_its_bytes_with_the_newest_key) {
  WebhookCase one;
  ASSERT_TRUE(one.notifier().notify("a", {{"id", "1"}}));
  ASSERT_TRUE(one.secrets_.put("webhook/key", Secret("another")));
  ASSERT_TRUE(one.notifier().notify("a", {{"id", "1"}}));
  const auto requests = one.receiver_.requests();
  ASSERT_EQ(requests.size(), 2u);
  const char* keys[] = {"shared secret", "another"};
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(requests[i].method, "POST");
    EXPECT_EQ(requests[i].path, "/alarms");
    EXPECT_EQ(*requests[i].headers.find("content-type"), "application/json");
    EXPECT_EQ(*requests[i].headers.find("x-redoubt-signature"), "sha256=" + crypto::hmac_sha256(Secret(keys[i]), view_of(requests[i].body)).hex());
    EXPECT_EQ(Json::parse(requests[i].body)["version"], 1);
    EXPECT_EQ(Json::parse(requests[i].body)["sent"], to_rfc3339(one.clock_.now()));
  }
}

TEST(Webhook, tries_again_while_the_receiver_is_unavailable) {
  for (int status : {503, 500, 429, 408}) {
    WebhookCase one;
    one.receiver_.answer({status, status});
    EXPECT_TRUE(one.notifier().notify("a", {{"id", "1"}}));
    const auto received = one.received();
    ASSERT_EQ(received.size(), 3u) << status;
    EXPECT_EQ(received[0]["id"], received[2]["id"]);
  }
  WebhookCase one;
  one.receiver_.answer({503, 503, 503});
  EXPECT_EQ(one.notifier().notify("a", Json::object()).error().code, ErrorCode::unavailable);
  EXPECT_EQ(one.received().size(), 3u);
}

TEST(Webhook, only_a_2xx_means_taken) {
  for (int status : {301, 302, 304, 400, 401, 404}) {
    WebhookCase one;
    one.receiver_.answer({status});
    EXPECT_FALSE(one.notifier().notify("a", Json::object())) << status;
    EXPECT_EQ(one.received().size(), 1u) << status;
  }
  WebhookCase one;
  one.receiver_.answer({204});
  EXPECT_TRUE(one.notifier().notify("a", Json::object()));
}

TEST(Webhook, a_receiver_that_never_answers_is_unavailable) {
  WebhookCase one;
  one.receiver_.answer({0, 0, 0});
  EXPECT_EQ(one.notifier().notify("a", Json::object()).error().code, ErrorCode::unavailable);
}

TEST(Webhook, tells_nothing_to_a_receiver_whose_certificate_is_not_trusted) {
  WebhookCase one;
  auto options = one.options();
  ASSERT_TRUE(write_file(one.folder_.path() / "other.pem", http::testing::make_test_certificate().ca_pem, FileMode::readable_by_all));
  options.ca_file = (one.folder_.path() / "other.pem").string();
  auto notifier = local::WebhookNotifier::create(options, one.secrets_, one.clock_).value();
  EXPECT_EQ(notifier->notify("a", Json::object()).error().code, ErrorCode::permission_denied);
  EXPECT_TRUE(one.received().empty());
}

TEST(Webhook, is_not_made_with_options_that_could_never_work) {
  WebhookCase one;
  const auto refused = [&](auto change) {
    auto options = one.options();
    change(options);
    return local::WebhookNotifier::create(options, one.secrets_, one.clock_).error();
  };
  EXPECT_EQ(refused([](auto& options) { options.url = "http://example.org/x"; }).code, ErrorCode::invalid_argument);
  EXPECT_EQ(refused([](auto& options) { options.url = "ftp://example.org"; }).code, ErrorCode::invalid_argument);
  EXPECT_EQ(refused([](auto& options) { options.url = "https://user:word@example.org"; }).code, ErrorCode::invalid_argument);
  EXPECT_EQ(refused([](auto& options) { options.ca_file = "/no/such/file.pem"; }).code, ErrorCode::not_found);
  const auto secret = refused([](auto& options) { options.secret_name = "webhook/other"; });
  EXPECT_EQ(secret.code, ErrorCode::not_found);
  EXPECT_THAT(secret.hint, HasSubstr("redoubt secret put webhook/other"));
}

}  // namespace
}  // namespace redoubt::provider
