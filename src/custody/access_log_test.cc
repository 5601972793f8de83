// SPDX-License-Identifier: Apache-2.0
#include "custody/access_log.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "provider/testing/fake_kms.h"

namespace redoubt::custody {
namespace {

class AccessLogTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(kms.create_key("fake:default"));
    for (int i = 0; i < 5; ++i) append("blobs/" + std::string(64, static_cast<char>('0' + i)));
  }
  AccessLog log() { return AccessLog({file, Secret(Bytes(32, 7)), vault::SealedFile(folder.path() / "head", {&kms, "fake:default"}, {{"name", "head"}})}); }
  void append(const std::string& object) { ASSERT_TRUE(log().append({0, clock.now(), "operator", "vault get", object, 11, ""})); }
  std::string text() { return *read_text_file(file); }
  std::vector<Access> all() {
    std::vector<Access> out;
    EXPECT_TRUE(log().for_each([&](const Access& access) { out.push_back(access); }));
    return out;
  }

  TemporaryFolder folder = *TemporaryFolder::create();
  std::filesystem::path file = folder.path() / "access.log";
  FakeClock clock;
  provider::testing::FakeKms kms;
};

TEST_F(AccessLogTest, gives_back_what_was_written_down) {
  EXPECT_EQ(all().size(), 5u);
  EXPECT_EQ(all()[3].number, 3u);
  EXPECT_TRUE(log().verify({}).empty());
  EXPECT_EQ(log().head()->entries, 5u);
}

TEST_F(AccessLogTest, names_every_changed_byte) {
  const std::string before = text();
  for (std::size_t at = 0; at < before.size(); at += 3) {
    std::string changed = before;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    ASSERT_TRUE(write_file(file, changed));
    EXPECT_FALSE(log().verify({}).empty()) << "byte " << at;
  }
}

TEST_F(AccessLogTest, names_an_end_that_is_cut_off_and_bytes_that_are_added) {
  const std::string before = text();
  for (std::size_t size = 0; size < before.size(); size += 7) {
    ASSERT_TRUE(write_file(file, before.substr(0, size)));
    EXPECT_FALSE(log().verify({}).empty()) << size << " bytes";
  }
  ASSERT_TRUE(write_file(file, before + "x"));
  EXPECT_FALSE(log().verify({}).empty());
  std::filesystem::remove(file);
  EXPECT_FALSE(log().verify({}).empty());
}

TEST_F(AccessLogTest, names_lines_that_were_taken_out_or_changed_places) {
  std::vector<std::string> lines;
  const std::string before = text();
  for (std::size_t from = 0; from < before.size();) {
    const auto end = before.find('\n', from);
    lines.push_back(before.substr(from, end - from + 1));
    from = end + 1;
  }
  ASSERT_EQ(lines.size(), 5u);
  ASSERT_TRUE(write_file(file, lines[0] + lines[2] + lines[3] + lines[4]));
  EXPECT_FALSE(log().verify({}).empty());
  ASSERT_TRUE(write_file(file, lines[0] + lines[2] + lines[1] + lines[3] + lines[4]));
  EXPECT_FALSE(log().verify({}).empty());
}

TEST_F(AccessLogTest, an_older_log_and_head_do_not_fit_the_ledger) {
  const std::string before = text();
  const auto head = *read_file(folder.path() / "head", 1 << 20);
  append("blobs/" + std::string(64, 'f'));
  const auto anchored = *log().head();
  ASSERT_TRUE(write_file(file, before));
  ASSERT_TRUE(write_file(folder.path() / "head", head));
  EXPECT_TRUE(log().verify({}).empty()) << "as authentic as it was";
  EXPECT_FALSE(log().verify(anchored).empty());
}

TEST_F(AccessLogTest, a_line_that_a_power_cut_left_is_taken_away) {
  const std::string before = text();
  ASSERT_TRUE(write_file(file, before + "{\"bytes\":"));
  append("blobs/" + std::string(64, 'a'));
  EXPECT_EQ(all().size(), 6u);
  EXPECT_TRUE(log().verify({}).empty());
  // One that was written and whose head was not is as good.
  const auto head = *read_file(folder.path() / "head", 1 << 20);
  append("blobs/" + std::string(64, 'b'));
  ASSERT_TRUE(write_file(folder.path() / "head", head));
  EXPECT_TRUE(log().verify({}).empty());
}

TEST_F(AccessLogTest, a_process_tells_of_an_object_once_a_step) {
  auto into = log();
  AccessRecorder recorder(into, clock, "operator", "run");
  ASSERT_TRUE(recorder.record("blobs/x", 1));
  ASSERT_TRUE(recorder.record("blobs/x", 1));
  recorder.step("train");
  ASSERT_TRUE(recorder.record("blobs/x", 1));
  ASSERT_EQ(all().size(), 7u);
  EXPECT_EQ(all()[6].command, "run: train");
}

TEST(AccessLine, is_taken_only_as_it_is_written) {
  const Access access{3, TimePoint{std::chrono::seconds(1)}, "operator", "vault get", "blobs/x", 7, "00"};
  const auto line = encode_access(access);
  EXPECT_EQ(*parse_access(line), access);
  for (const auto& other : {line + " ", " " + line, std::string("{}"), std::string(), std::string("[]"), std::string(5000, '{')}) EXPECT_FALSE(parse_access(other)) << other.substr(0, 80);
}

}  // namespace
}  // namespace redoubt::custody
