// SPDX-License-Identifier: Apache-2.0
#include "hub/audit.h"

#include <gtest/gtest.h>

#include "base/testing_full_disk.h"

namespace redoubt::hub {
namespace {

class AuditTest : public ::testing::Test {
 protected:
  static Json download(const std::string& token, std::int64_t bytes, const std::string& repository = "acme/tiny") {
    return {{"event", "download"}, {"token", token}, {"repository", repository}, {"commit", "c"}, {"bytes", bytes}};
  }
  std::shared_ptr<AuditLog> open() { return *AuditLog::open(file_, clock_); }

  TemporaryFolder folder_ = *TemporaryFolder::create();
  std::filesystem::path file_ = folder_.path() / "audit.jsonl";
  FakeClock clock_;
};

TEST_F(AuditTest, downloads_are_counted_since_the_last_look) {
  const auto log = open();
  EXPECT_TRUE(log->take().downloads.empty());
  ASSERT_TRUE(log->append(download("t1", 5)));
  clock_.advance(std::chrono::seconds(9));
  ASSERT_TRUE(log->append(download("t1", 7)));
  ASSERT_TRUE(log->append(download("t2", 1)));
  ASSERT_TRUE(log->append({{"event", "sent"}, {"token", "t1"}, {"repository", "acme/tiny"}, {"commit", "c"}, {"bytes", 5}}));
  const auto since = log->take();
  ASSERT_EQ(since.downloads.size(), 2u);
  EXPECT_EQ(since.downloads[0].token, "t1");
  EXPECT_EQ(since.downloads[0].files, 2u);
  EXPECT_EQ(since.downloads[0].bytes, 12u);
  EXPECT_EQ(since.downloads[0].last - since.downloads[0].first, std::chrono::seconds(9));
  EXPECT_EQ(since.head.lines, 4u);
  EXPECT_EQ(since.head.last, check_audit(file_)->head.last);
  EXPECT_TRUE(log->take().downloads.empty());
}

// On a full disk a part of a line goes in before the rest is refused.
TEST_F(AuditTest, what_did_not_go_in_whole_is_no_part_of_the_chain) {
  const auto log = open();
  ASSERT_TRUE(log->append(download("t1", 5)));
  {
    const FullDisk full(std::filesystem::file_size(file_) + 20);
    EXPECT_FALSE(log->append(download("t1", 6)));
    EXPECT_FALSE(log->append(download("t1", 7)));
  }
  ASSERT_TRUE(log->append(download("t1", 8)));
  const auto check = check_audit(file_).value();
  EXPECT_TRUE(check.problems.empty());
  EXPECT_EQ(check.head.lines, 2u);
  EXPECT_EQ(log->take().head.last, check.head.last);
}

TEST_F(AuditTest, beyond_256_kinds_the_rest_are_counted_together) {
  const auto log = open();
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(log->append(download("t", 1, "acme/m" + std::to_string(i)), AuditLog::Wait::never));
  const auto downloads = log->take().downloads;
  ASSERT_EQ(downloads.size(), 257u);
  std::uint64_t files = 0, others = 0;
  for (const auto& count : downloads) {
    files += count.files;
    if (count.token == "others") others = count.files;
  }
  EXPECT_EQ(files, 300u);
  EXPECT_EQ(others, 44u);
}

TEST_F(AuditTest, a_file_that_is_opened_again_goes_on) {
  ASSERT_TRUE(open()->append(download("t1", 5)));
  const auto log = open();
  ASSERT_TRUE(log->append(download("t1", 5)));
  EXPECT_EQ(log->take().head.lines, 2u);
  EXPECT_TRUE(check_audit(file_)->problems.empty());
}

TEST_F(AuditTest, a_head_that_was_kept_elsewhere_finds_what_the_chain_alone_does_not) {
  AuditHead known;
  {
    const auto log = open();
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(log->append(download("t1", i)));
    known = log->take().head;
    ASSERT_TRUE(log->append(download("t1", 9)));
  }
  EXPECT_TRUE(check_audit(file_, known)->problems.empty());
  const std::string whole = *read_text_file(file_);
  ASSERT_TRUE(write_file(file_, std::string_view(whole).substr(0, whole.find('\n') + 1)));  // cut: what is left is a chain
  EXPECT_TRUE(check_audit(file_)->problems.empty());
  EXPECT_EQ(check_audit(file_, known)->problems, (Problems{{"chain", "line 3", "was there before, and is missing"}}));
  std::filesystem::remove(file_);
  {
    const auto log = open();
    for (int i = 0; i < 4; ++i) ASSERT_TRUE(log->append(download("t2", i)));  // another chain
  }
  EXPECT_TRUE(check_audit(file_)->problems.empty());
  EXPECT_EQ(check_audit(file_, known)->problems, (Problems{{"chain", "line 3", "not the line that was known before"}}));
}

}  // namespace
}  // namespace redoubt::hub
