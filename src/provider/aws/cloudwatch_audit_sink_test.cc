// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/cloudwatch_audit_sink.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "provider/aws/testing_client.h"

namespace redoubt::provider::aws {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

constexpr const char* kOrigin = "redoubt.local/1";

AuditEntry entry(std::uint64_t index, TimePoint time, std::string step = "train") {
  return {index, time, kOrigin, std::move(step), "operator", "sha256:" + std::string(64, 'a'), {{"rows", index}}};
}

// CloudWatch Logs as its reference describes it, with the limits enforced that moto leaves out.
class Logs {
 public:
  explicit Logs(const Clock& clock) : clock_(clock) {}
  struct Group {
    int retention = 0;
    std::string key;
    std::map<std::string, std::vector<Json>> streams;
  };
  std::map<std::string, Group> groups;
  int puts_to_fail = 0;

  Result<Json> operator()(const std::string&, const std::string& operation, const Json& input) {
    if (operation == "DescribeLogGroups") return describe(input["logGroupNamePrefix"]);
    const std::string name = input["logGroupName"];
    if (operation == "CreateLogGroup") {
      if (groups.contains(name)) return TestingClient::refuse("ResourceAlreadyExistsException", ErrorCode::already_exists);
      groups[name].key = json_or(input, "kmsKeyId", "");
      return Json::object();
    }
    if (!groups.contains(name)) return TestingClient::refuse("ResourceNotFoundException", ErrorCode::not_found);
    Group& group = groups[name];
    if (operation == "PutRetentionPolicy") group.retention = input["retentionInDays"];
    if (operation == "AssociateKmsKey") group.key = input["kmsKeyId"];
    if (operation == "CreateLogStream") group.streams[input["logStreamName"]];
    if (operation == "PutLogEvents") return put(group, input);
    if (operation == "GetLogEvents") return get(group, input);
    return Json::object();
  }

 private:
  Result<Json> describe(const std::string& prefix) {
    Json list = Json::array();
    for (const auto& [name, group] : groups) {
      if (!name.starts_with(prefix)) continue;
      Json one = {{"logGroupName", name}};
      if (group.retention > 0) one["retentionInDays"] = group.retention;
      if (!group.key.empty()) one["kmsKeyId"] = group.key;
      list.push_back(std::move(one));
    }
    return Json{{"logGroups", list}};
  }
  Result<Json> put(Group& group, const Json& input) {
    auto& stream = group.streams.at(input["logStreamName"]);
    const auto& events = input["logEvents"];
    std::size_t bytes = 0;
    std::int64_t before = 0;
    const std::int64_t now = clock_.now().time_since_epoch().count(), first = events[0]["timestamp"];
    if (events.empty() || events.size() > 10'000) return TestingClient::refuse("InvalidParameterException", ErrorCode::invalid_argument);
    Json rejected = Json::object();
    for (std::size_t i = 0; i < events.size(); ++i) {
      const std::int64_t time = events[i]["timestamp"];
      bytes += events[i]["message"].get_ref<const std::string&>().size() + 26;
      if (time < before || time - first > 86'400'000) return TestingClient::refuse("InvalidParameterException", ErrorCode::invalid_argument);
      before = time;
      if (time < now - 14 * 86'400'000LL) rejected["tooOldLogEventEndIndex"] = i + 1;
      if (group.retention > 0 && time < now - group.retention * 86'400'000LL) rejected["expiredLogEventEndIndex"] = i + 1;
      if (time > now + 2 * 3'600'000 && !rejected.contains("tooNewLogEventStartIndex")) rejected["tooNewLogEventStartIndex"] = i;
    }
    if (bytes > 1'048'576) return TestingClient::refuse("InvalidParameterException", ErrorCode::invalid_argument);
    if (puts_to_fail > 0 && --puts_to_fail == 0) return TestingClient::refuse("ServiceUnavailableException", ErrorCode::unavailable);
    for (const auto& event : events) stream.push_back(event);
    return rejected.empty() ? Json::object() : Json{{"rejectedLogEventsInfo", rejected}};
  }
  // Answers a page that is empty before the one that is not, as the service may.
  Result<Json> get(Group& group, const Json& input) {
    const auto stream = group.streams.find(input["logStreamName"]);
    if (stream == group.streams.end()) return TestingClient::refuse("ResourceNotFoundException", ErrorCode::not_found);
    const bool is_first = !input.contains("nextToken");
    auto sorted = stream->second;
    std::stable_sort(sorted.begin(), sorted.end(), [](const Json& a, const Json& b) { return a["timestamp"] < b["timestamp"]; });
    Json events = Json::array();
    const std::size_t limit = input["limit"], from = sorted.size() > limit ? sorted.size() - limit : 0;
    if (!is_first) events = std::vector(sorted.begin() + static_cast<std::ptrdiff_t>(from), sorted.end());
    return Json{{"events", events}, {"nextBackwardToken", "b/1"}, {"nextForwardToken", "f/1"}};
  }
  const Clock& clock_;
};

class CloudWatchAuditSinkTest : public ::testing::Test {
 protected:
  CloudWatchAuditSinkTest() {
    client_.answer = std::ref(logs_);
    reopen();
  }
  void reopen() { sink_ = CloudWatchAuditSink::create(options_, client_, clock_).value(); }
  std::vector<std::uint64_t> indices(const std::string& group) {
    std::vector<std::uint64_t> list;
    for (const auto& event : logs_.groups[group].streams[kOrigin]) list.push_back(parse_event(event["message"].get<std::string>(), "event").value().index);
    return list;
  }
  FakeClock clock_;
  Logs logs_{clock_};
  TestingClient client_;
  CloudWatchAuditSinkOptions options_{.origin = kOrigin, .kms_key = "arn:aws:kms:eu-central-1:123456789012:key/1"};
  std::unique_ptr<CloudWatchAuditSink> sink_;
};

TEST_F(CloudWatchAuditSinkTest, a_step_has_a_group_of_its_own_kept_and_encrypted_as_asked) {
  ASSERT_TRUE(sink_->append({entry(0, clock_.now(), "workspace"), entry(1, clock_.now(), "train"), entry(2, clock_.now(), "secret"), entry(3, clock_.now(), "train")}));
  EXPECT_EQ(indices("/redoubt/audit"), (std::vector<std::uint64_t>{0, 1, 2, 3}));
  EXPECT_EQ(indices("/redoubt/train"), (std::vector<std::uint64_t>{1, 3}));
  EXPECT_EQ(logs_.groups.size(), 2u);
  for (const auto& [name, group] : logs_.groups) {
    EXPECT_EQ(group.retention, 90) << name;
    EXPECT_EQ(group.key, options_.kms_key) << name;
  }
}

TEST_F(CloudWatchAuditSinkTest, what_somebody_chose_for_a_group_stays) {
  logs_.groups["/redoubt/audit"] = {365, "arn:other", {}};
  ASSERT_TRUE(sink_->append({entry(0, clock_.now(), "workspace")}));
  EXPECT_EQ(logs_.groups["/redoubt/audit"].retention, 365);
  EXPECT_EQ(logs_.groups["/redoubt/audit"].key, "arn:other");
  EXPECT_EQ(client_.count("PutRetentionPolicy"), 0);
  EXPECT_EQ(client_.count("CreateLogGroup"), 0) << "a step's role may write to its groups, and make none";
}

TEST_F(CloudWatchAuditSinkTest, a_group_that_a_kill_left_half_made_is_finished) {
  logs_.groups["/redoubt/audit"] = {};
  ASSERT_TRUE(sink_->append({entry(0, clock_.now(), "workspace")}));
  EXPECT_EQ(logs_.groups["/redoubt/audit"].retention, 90);
  EXPECT_EQ(logs_.groups["/redoubt/audit"].key, options_.kms_key);
}

TEST_F(CloudWatchAuditSinkTest, batches_stay_below_every_limit) {
  std::vector<AuditEntry> entries;
  for (std::uint64_t i = 0; i < 10'300; ++i) entries.push_back(entry(i, clock_.now() - 400 * 24h + std::chrono::hours(i)));
  entries[10'000].summary["text"] = std::string(100'000, 'x');
  for (std::size_t i = 10'001; i < 10'020; ++i) entries[i].summary["text"] = std::string(100'000, 'x');
  ASSERT_TRUE(sink_->append(entries));
  EXPECT_EQ(indices("/redoubt/audit").size(), 10'300u);
  reopen();
  EXPECT_EQ(sink_->next_index().value(), 10'300u);
}

TEST_F(CloudWatchAuditSinkTest, goes_on_after_a_failure_at_any_call_without_a_gap) {
  std::vector<AuditEntry> entries;
  for (std::uint64_t i = 0; i < 40; ++i) {
    entries.push_back(entry(i, clock_.now() + std::chrono::milliseconds(i), i % 3 == 0 ? "image" : "train"));
    entries.back().summary["text"] = std::string(100'000, 'x');
  }
  for (int failing = 1; failing < 12; ++failing) {
    logs_.groups.clear();
    logs_.puts_to_fail = failing;
    reopen();
    const auto first = sink_->append(entries);
    if (!first) {
      EXPECT_EQ(first.error().code, ErrorCode::unavailable);
      EXPECT_THAT(first.error().where, HasSubstr("/redoubt/"));
    }
    if (failing % 2 == 0) reopen();
    ASSERT_TRUE(sink_->append(entries)) << failing;
    const auto all = indices("/redoubt/audit");
    EXPECT_EQ(all.size(), 40u) << failing;
    for (const char* group : {"/redoubt/image", "/redoubt/train"}) {
      const auto some = indices(group);
      std::set<std::uint64_t> distinct(some.begin(), some.end());
      EXPECT_EQ(distinct.size(), group == std::string("/redoubt/image") ? 14u : 26u) << failing;
    }
  }
}

TEST_F(CloudWatchAuditSinkTest, a_stream_of_another_ledger_is_tampered) {
  ASSERT_TRUE(sink_->append({entry(0, clock_.now())}));
  auto options = options_;
  options.stream = kOrigin;
  options.origin = "redoubt.local/2";
  EXPECT_EQ(CloudWatchAuditSink::create(options, client_, clock_).value()->next_index().error().code, ErrorCode::tampered);
}

TEST_F(CloudWatchAuditSinkTest, a_refusal_names_the_group_and_the_cure) {
  client_.answer = [](const auto&, const auto&, const auto&) -> Result<Json> { return TestingClient::refuse("AccessDeniedException", ErrorCode::permission_denied); };
  const auto error = sink_->append({entry(0, clock_.now())}).error();
  EXPECT_EQ(error.code, ErrorCode::permission_denied);
  EXPECT_THAT(error.where, HasSubstr("/redoubt/audit:redoubt.local/1"));
  EXPECT_THAT(error.hint, HasSubstr("logs:CreateLogGroup"));
}

TEST_F(CloudWatchAuditSinkTest, options_that_could_never_work_are_refused) {
  const auto refused = [&](auto change) {
    auto options = options_;
    change(options);
    return CloudWatchAuditSink::create(options, client_, clock_).error().code;
  };
  EXPECT_EQ(refused([](auto& options) { options.retention_days = 91; }), ErrorCode::invalid_argument);
  EXPECT_EQ(refused([](auto& options) { options.group_prefix = "a b"; }), ErrorCode::invalid_argument);
  EXPECT_EQ(refused([](auto& options) { options.stream = "a:b"; }), ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace redoubt::provider::aws
