// SPDX-License-Identifier: Apache-2.0
#include "custody/view.h"

#include <gtest/gtest.h>

#include "custody/testing_vault.h"

namespace redoubt::custody {
namespace {

TEST(Target, is_a_name_a_version_or_a_digest) {
  EXPECT_EQ(parse_target("logs/2026")->name, "logs/2026");
  EXPECT_EQ(parse_target("logs@12")->number, 12u);
  EXPECT_TRUE(parse_target("sha256:" + std::string(64, 'a'))->name.empty());
  for (const auto& text : {std::string(), std::string("@1"), std::string("a@0"), std::string("a@01"), std::string("a@-1"), std::string("a@"), std::string("a@1x"), std::string("../a"), std::string("/a"), std::string("a b"),
                           std::string("a@99999999999999999999"), std::string("sha256:12"), std::string(129, 'a'), std::string("a/../b"), std::string("ä")}) {
    const auto target = parse_target(text);
    ASSERT_FALSE(target) << text;
    EXPECT_EQ(target.error().code, ErrorCode::invalid_argument) << text;
  }
}

class ViewTest : public testing::Test, public VaultFixture {};

TEST_F(ViewTest, counts_the_versions_of_a_name) {
  put("logs", "one");
  put("logs", "two");
  put("other", "one");
  const auto now = view();
  EXPECT_EQ(now.find(Target{"logs", 0, {}})->number, 2u);
  EXPECT_EQ(now.find(Target{"logs", 1, {}})->by, "operator");
  EXPECT_EQ(now.versions_of(Target{"logs", 0, {}}).size(), 2u);
  EXPECT_EQ(now.versions_of(Target{"", 0, now.find(Target{"other", 1, {}})->artifact}).size(), 2u);
  EXPECT_EQ(now.find(Target{"logs", 3, {}}).error().code, ErrorCode::not_found);
}

TEST_F(ViewTest, a_hold_on_a_name_holds_its_later_versions) {
  put("logs", "one");
  ASSERT_TRUE(record({{"action", "hold"}, {"hold", "hold-1"}, {"target", "logs"}, {"reason", "case 7"}}));
  const auto later = put("logs", "two");
  EXPECT_NE(view().held(later).find("hold-1"), std::string::npos);
  EXPECT_FALSE(view().held(later.artifact).empty());
  ASSERT_TRUE(record({{"action", "release"}, {"hold", "hold-1"}, {"reason", "closed"}}));
  EXPECT_TRUE(view().held(later).empty());
}

TEST_F(ViewTest, a_code_that_was_used_is_known) {
  ASSERT_TRUE(record({{"action", "totp-enrol"}}));
  ASSERT_TRUE(record({{"action", "totp-refused"}}));
  EXPECT_EQ(view().enrolments().at("operator").refused.size(), 1u);
  const auto version = put("logs", "one");
  ASSERT_TRUE(record({{"action", "remove"}, {"cause", "delete"}, {"versions", {version.text()}}, {"manifests", {version.artifact.hex()}}, {"blobs", Json::array()}, {"totp_counter", 77}}));
  EXPECT_EQ(view().enrolments().at("operator").used, 77u);
  EXPECT_TRUE(view().enrolments().at("operator").refused.empty());
  EXPECT_EQ(view().find(Target{"logs", 1, {}})->fate, VersionFate::deleted);
  EXPECT_TRUE(view().tombstones().contains("manifests/" + version.artifact.hex()));
  EXPECT_EQ(view().unfinished().size(), 1u);
}

TEST_F(ViewTest, who_asked_cannot_have_approved) {
  const auto version = put("logs", "one");
  ASSERT_TRUE(record({{"action", "request"}, {"request", "request-1"}, {"operation", "delete"}, {"target", "logs"}, {"artifacts", {version.artifact.tagged()}}, {"reason", "old"}, {"expires", to_rfc3339(clock.now())}}));
  ASSERT_TRUE(record({{"action", "remove"}, {"cause", "delete"}, {"versions", {version.text()}}, {"request", "request-1"}}));
  EXPECT_EQ(View::replay(*evidence).error().code, ErrorCode::tampered);
}

// What a member of the firm with a key could write into the ledger by other means.
TEST_F(ViewTest, refuses_events_that_no_release_wrote) {
  const std::string digest = "sha256:" + std::string(64, 'a');
  const Json bad[] = {
      {{"action", "put"}},
      {{"action", "put"}, {"name", "a@1"}, {"version", 1}, {"artifact", digest}, {"kind", "data"}, {"files", 1}, {"bytes", 1}},
      {{"action", "put"}, {"name", "a"}, {"version", 2}, {"artifact", digest}, {"kind", "data"}, {"files", 1}, {"bytes", 1}},
      {{"action", "put"}, {"name", "a"}, {"version", 1}, {"artifact", "x"}, {"kind", "data"}, {"files", 1}, {"bytes", 1}},
      {{"action", "put"}, {"name", "a"}, {"version", 1}, {"artifact", digest}, {"kind", "data"}, {"files", -1}, {"bytes", 1}},
      {{"action", "put"}, {"name", "a"}, {"version", 1}, {"artifact", digest}, {"kind", "data"}, {"files", 1}, {"bytes", 1}, {"key", "../../x"}},
      {{"action", "release"}, {"hold", "hold-1"}, {"reason", ""}},
      {{"action", "hold"}, {"hold", "hold-9"}, {"target", "a"}, {"reason", ""}},
      {{"action", "remove"}, {"cause", "whim"}},
      {{"action", "remove"}, {"cause", "delete"}, {"versions", {"nobody@1"}}},
      {{"action", "remove"}, {"cause", "delete"}, {"blobs", {"../x"}}},
      {{"action", "remove"}, {"cause", "delete"}, {"from", "elsewhere"}},
      {{"action", "erase"}, {"key", "00"}},
      {{"action", "finish"}, {"through", -1}},
      {{"action", 7}},
      Json::object(),
  };
  for (const auto& event : bad) {
    View view;
    attest::StepRecord record;
    record.step = kVaultStep;
    record.result = event;
    const auto applied = view.apply(0, record);
    ASSERT_FALSE(applied) << event.dump();
    EXPECT_EQ(applied.error().code, ErrorCode::tampered) << event.dump();
  }
  View view;
  attest::StepRecord later;
  later.step = kVaultStep;
  later.result = {{"action", "teleport"}};
  EXPECT_EQ(view.apply(0, later).error().code, ErrorCode::unsupported);
}

}  // namespace
}  // namespace redoubt::custody
