// SPDX-License-Identifier: Apache-2.0
//
// What every AuditSink promises (src/provider/audit_sink.h), and what the file promises its readers (docs/formats/audit-events.md).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "provider/aws/cloudwatch_audit_sink.h"
#include "provider/local/audit_file.h"
#include "provider/testing/fake_audit_sink.h"
#include "tests/contract/aws_case.h"

namespace redoubt::provider {
namespace {

constexpr const char* kOrigin = "redoubt.local/0123";

AuditEntry entry(std::uint64_t index, TimePoint time = SystemClock().now()) {
  return {index, time, kOrigin, index % 2 == 0 ? "train" : "secret", "operator", "sha256:" + std::string(64, 'a'), {{"rows", index}, {"name", "\u00e4 \"x\"\n"}}};
}

std::vector<AuditEntry> entries(std::uint64_t from, std::uint64_t to) {
  const TimePoint now = SystemClock().now();
  std::vector<AuditEntry> list;
  for (auto index = from; index < to; ++index) list.push_back(entry(index, now + std::chrono::milliseconds(index)));
  return list;
}

struct SinkUnderTest {
  virtual ~SinkUnderTest() = default;
  virtual AuditSink& sink() = 0;
  virtual void reopen() = 0;                         // as another process would
  virtual std::vector<AuditEntry> received() = 0;  // in the order in which a reader gets them
};

struct FakeSinkCase final : SinkUnderTest {
  AuditSink& sink() override { return sink_; }
  void reopen() override {}
  std::vector<AuditEntry> received() override { return sink_.received; }
  testing::FakeAuditSink sink_;
};

std::vector<AuditEntry> read_lines(const std::filesystem::path& file) {
  std::vector<AuditEntry> list;
  const auto text = read_text_file(file).value_or("");
  for (std::size_t from = 0; from < text.size();) {
    const auto end = text.find('\n', from);
    list.push_back(parse_event(std::string_view(text).substr(from, end - from), "line").value());
    from = end + 1;
  }
  return list;
}

struct FileCase final : SinkUnderTest {
  FileCase() { reopen(); }
  AuditSink& sink() override { return *sink_; }
  void reopen() override { sink_ = local::AuditFile::create({file(), kOrigin}).value(); }
  std::vector<AuditEntry> received() override { return read_lines(file()); }
  std::filesystem::path file() const { return folder_.path() / "logs" / "audit.jsonl"; }
  TemporaryFolder folder_ = *TemporaryFolder::create();
  std::unique_ptr<local::AuditFile> sink_;
};

struct AwsSinkCase final : SinkUnderTest {
  AwsSinkCase() { reopen(); }
  AuditSink& sink() override { return *sink_; }
  void reopen() override {
    aws::CloudWatchAuditSinkOptions options;
    options.group_prefix = prefix_;
    options.origin = kOrigin;
    sink_ = aws::CloudWatchAuditSink::create(options, *aws::test_client(), clock_).value();
  }
  std::vector<AuditEntry> received() override {
    std::vector<AuditEntry> list;
    Json input = {{"logGroupName", sink_->audit_group()}, {"logStreamName", sink_->stream()}, {"startFromHead", true}};
    while (true) {
      const Json page = aws::test_client()->call("logs", "GetLogEvents", input).value();
      for (const auto& event : page["events"]) list.push_back(parse_event(event["message"].get<std::string>(), "event").value());
      if (page["events"].empty() || page["nextForwardToken"] == json_or(input, "nextToken", "")) return list;
      input["nextToken"] = page["nextForwardToken"];
    }
  }
  const std::string prefix_ = "/" + aws::unique_name();
  SystemClock clock_;
  std::unique_ptr<aws::CloudWatchAuditSink> sink_;
};

struct SinkCase {
  const char* name;
  std::unique_ptr<SinkUnderTest> (*make)();
};

template <class T>
std::unique_ptr<SinkUnderTest> make_sink() {
  return std::make_unique<T>();
}

class AuditSinkContract : public ::testing::TestWithParam<SinkCase> {
 protected:
  std::unique_ptr<SinkUnderTest> under_test_ = GetParam().make();
  AuditSink& sink() { return under_test_->sink(); }
};

TEST_P(AuditSinkContract, gives_back_what_it_was_told_in_order) {
  EXPECT_EQ(sink().next_index().value(), 0u);
  ASSERT_TRUE(sink().append(entries(0, 3)));
  EXPECT_EQ(sink().next_index().value(), 3u);
  ASSERT_TRUE(sink().append(entries(3, 4)));
  ASSERT_TRUE(sink().append({}));
  const auto received = under_test_->received();
  ASSERT_EQ(received.size(), 4u);
  for (std::uint64_t i = 0; i < 4; ++i) {
    EXPECT_EQ(received[i].index, i);
    EXPECT_EQ(received[i].step, entry(i).step);
    EXPECT_EQ(received[i].summary, entry(i).summary);
    EXPECT_EQ(received[i].origin, kOrigin);
    EXPECT_EQ(received[i].statement, entry(i).statement);
  }
}

TEST_P(AuditSinkContract, another_process_goes_on_where_the_first_stopped) {
  ASSERT_TRUE(sink().append(entries(0, 5)));
  under_test_->reopen();
  EXPECT_EQ(sink().next_index().value(), 5u);
  ASSERT_TRUE(sink().append(entries(2, 7)));
  EXPECT_EQ(under_test_->received().size(), 7u);
  EXPECT_EQ(sink().next_index().value(), 7u);
}

TEST_P(AuditSinkContract, a_gap_or_disorder_is_refused_and_nothing_is_written) {
  ASSERT_TRUE(sink().append(entries(0, 2)));
  EXPECT_EQ(sink().append(entries(3, 4)).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(sink().append({entry(2), entry(4)}).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(sink().append({entry(3), entry(2)}).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(under_test_->received().size(), 2u);
}

TEST_P(AuditSinkContract, an_entry_that_is_too_large_is_refused) {
  auto large = entry(0);
  large.summary["text"] = std::string(kAuditEventBytesMax, 'x');
  EXPECT_EQ(sink().append({large}).error().code, ErrorCode::limit_exceeded);
  EXPECT_EQ(sink().next_index().value(), 0u);
}

TEST_P(AuditSinkContract, takes_old_entries_and_a_clock_that_ran_backwards) {
  const TimePoint now = SystemClock().now();
  ASSERT_TRUE(sink().append({entry(0, now - std::chrono::days(400)), entry(1, now - std::chrono::days(20)), entry(2, now), entry(3, now - std::chrono::hours(30))}));
  under_test_->reopen();
  EXPECT_EQ(sink().next_index().value(), 4u);
  const auto received = under_test_->received();
  ASSERT_EQ(received.size(), 4u);
  for (std::uint64_t i = 0; i < 4; ++i) EXPECT_EQ(received[i].index, i);
  EXPECT_EQ(received[0].time, now - std::chrono::days(400));
}

TEST_P(AuditSinkContract, takes_a_whole_ledger_at_once) {
  auto many = entries(0, 2'500);
  for (auto& one : many) one.summary["text"] = std::string(1'000, 'x');
  ASSERT_TRUE(sink().append(many));
  EXPECT_EQ(sink().next_index().value(), 2'500u);
}

INSTANTIATE_TEST_SUITE_P(All, AuditSinkContract, 
                         ::testing::ValuesIn(aws::with_aws<SinkCase>({{"fake", make_sink<FakeSinkCase>}, {"file", make_sink<FileCase>}}, {"aws", make_sink<AwsSinkCase>})),
                         [](const auto& test) { return test.param.name; });

TEST(AuditFile, a_line_that_a_kill_cut_off_is_written_anew_at_any_byte) {
  FileCase one;
  ASSERT_TRUE(one.sink().append(entries(0, 2)));
  const auto whole = read_text_file(one.file()).value();
  const auto first = whole.find('\n') + 1;
  for (std::size_t bytes = 0; bytes <= whole.size(); bytes += 7) {
    ASSERT_TRUE(write_file(one.file(), std::string_view(whole).substr(0, bytes)));
    const std::uint64_t expected = bytes == whole.size() ? 2 : bytes >= first ? 1 : 0;
    ASSERT_EQ(one.sink().next_index().value(), expected) << bytes;
    ASSERT_TRUE(one.sink().append(entries(0, 3))) << bytes;
    ASSERT_EQ(one.received().size(), 3u) << bytes;
  }
}

TEST(AuditFile, does_not_go_on_in_a_file_that_is_another_one_s) {
  FileCase one;
  ASSERT_TRUE(one.sink().append(entries(0, 2)));
  auto other = local::AuditFile::create({one.file(), "redoubt.local/9999"}).value();
  EXPECT_EQ(other->append(entries(0, 1)).error().code, ErrorCode::tampered);
  for (const char* text : {"no JSON\n", "{}\n", "\n"}) {
    ASSERT_TRUE(write_file(one.file(), std::string_view(text)));
    EXPECT_EQ(one.sink().next_index().error().code, ErrorCode::tampered) << text;
  }
  EXPECT_EQ(local::AuditFile::create({one.folder_.path(), kOrigin}).error().code, ErrorCode::invalid_argument);
}

TEST(AuditEvent, has_the_members_that_ocsf_asks_of_its_class) {
  // https://schema.ocsf.io/1.3.0/classes/application_lifecycle: the required attributes.
  const Json event = to_event(entry(7));
  for (const char* member : {"activity_id", "app", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid"}) EXPECT_TRUE(event.contains(member)) << member;
  EXPECT_EQ(event["type_uid"], event["class_uid"].get<int>() * 100 + event["activity_id"].get<int>());
  EXPECT_EQ(event["category_uid"].get<int>(), event["class_uid"].get<int>() / 1000);
  EXPECT_EQ(parse_event(dump_json(event), "event").value(), parse_event(dump_json(to_event(parse_event(dump_json(event), "event").value())), "event").value());
}

}  // namespace
}  // namespace redoubt::provider
