// SPDX-License-Identifier: Apache-2.0
#include "custody/rules.h"

#include <gtest/gtest.h>

#include "custody/testing_vault.h"

namespace redoubt::custody {
namespace {

using std::chrono::hours;

const auto kNobody = [](const NamedVersion&) { return std::string(); };

TEST(Duration, has_a_unit) {
  EXPECT_EQ(parse_duration("90d", "")->count(), 90 * 24 * 3600);
  EXPECT_EQ(parse_duration("12h", "")->count(), 12 * 3600);
  EXPECT_EQ(parse_duration("0s", "")->count(), 0);
  for (const char* text : {"", "d", "90", "-1d", "1.5d", "1w", "1d ", " 1d", "999999999999d", "0x1d"}) EXPECT_EQ(parse_duration(text, "here").error().code, ErrorCode::invalid_argument) << text;
  for (const char* text : {"90d", "12h", "30m", "45s"}) EXPECT_EQ(duration_text(*parse_duration(text, "")), text);
}

TEST(Rules, the_first_that_fits_decides) {
  const auto rules = Rules::from_json({{"vault", {{"rules", {{{"name", "logs/*"}, {"kind", "data"}, {"expire_after", "10d"}}, {{"name", "*"}, {"expire_after", "20d"}}}}}}});
  ASSERT_TRUE(rules) << rules.error().message;
  NamedVersion version;
  version.kind = "data";
  const std::pair<const char*, int> cases[] = {{"logs/a", 10}, {"logs/a/b", 10}, {"logs", 20}, {"my/logs/a", 20}, {"", 20}};
  for (const auto& [name, days] : cases) {
    version.name = name;
    EXPECT_EQ(*rules->rule_of(version)->expire_after, Seconds(days * 24 * 3600)) << name;
  }
  version.name = "logs/a";
  version.kind = "model";
  EXPECT_EQ(*rules->rule_of(version)->expire_after, Seconds(20 * 24 * 3600));
}

TEST(Rules, that_contradict_themselves_are_refused) {
  const Json bad[] = {{{"rules", {{{"keep_at_least", "10d"}, {"expire_after", "9d"}}}}},
                      {{"rules", {{{"archive_after", "10d"}, {"expire_after", "10d"}}}}, {"archive", "file:/a"}},
                      {{"rules", {{{"archive_after", "10d"}}}}},
                      {{"rules", {{{"expire_after", "10"}}}}}};
  for (const auto& vault : bad) {
    const auto rules = Rules::from_json({{"vault", vault}});
    ASSERT_FALSE(rules) << vault.dump();
    EXPECT_EQ(rules.error().code, ErrorCode::invalid_argument) << vault.dump();
    EXPECT_NE(rules.error().where.find("vault."), std::string::npos) << rules.error().where;
  }
}

TEST(Rules, without_a_policy_nothing_expires_and_keys_last_90_days) {
  const auto rules = Rules::from_json(Json::object());
  ASSERT_TRUE(rules);
  EXPECT_EQ(rules->rotate_after_days, 90);
  EXPECT_EQ(rules->rule_of(NamedVersion()), nullptr);
}

class LifecycleTest : public testing::Test, public VaultFixture {
 protected:
  Rules rules = *Rules::from_json({{"vault", {{"archive", "file:/a"}, {"rules", {{{"keep_at_least", "1d"}, {"archive_after", "2d"}, {"expire_after", "4d"}}}}}}});
  std::vector<LifecycleStep> plan(const std::function<std::string(const NamedVersion&)>& needed = kNobody) { return *plan_lifecycle(view(), {}, rules, clock.now(), needed); }
};

TEST_F(LifecycleTest, goes_from_kept_to_archived_to_expired) {
  put("logs", "one");
  EXPECT_TRUE(plan().empty());
  clock.advance(hours(48));
  ASSERT_EQ(plan().size(), 1u);
  EXPECT_EQ(plan()[0].action, LifecycleStep::Action::archive);
  clock.advance(hours(48));
  EXPECT_EQ(plan()[0].action, LifecycleStep::Action::expire);
}

TEST_F(LifecycleTest, leaves_what_is_held_or_needed) {
  put("logs", "one");
  put("other", "two");
  ASSERT_TRUE(record({{"action", "hold"}, {"hold", "hold-1"}, {"target", "logs"}, {"reason", "case 7"}}));
  clock.advance(hours(100));
  for (const auto& step : plan([](const NamedVersion& version) { return version.name == "other" ? "tiny/0.1.0" : ""; })) EXPECT_EQ(step.action, LifecycleStep::Action::keep) << step.why;
}

TEST_F(LifecycleTest, archives_no_contents_that_are_held_under_another_name) {
  put("logs", "one");
  put("case", "one");
  ASSERT_TRUE(record({{"action", "hold"}, {"hold", "hold-1"}, {"target", "case"}, {"reason", "case 7"}}));
  clock.advance(hours(48));
  ASSERT_EQ(plan().size(), 2u);
  for (const auto& step : plan()) EXPECT_EQ(step.action, LifecycleStep::Action::keep) << step.version.text();
  clock.advance(hours(48));
  for (const auto& step : plan()) EXPECT_EQ(step.action, step.version.name == "logs" ? LifecycleStep::Action::expire : LifecycleStep::Action::keep) << "the name alone";
}

TEST_F(LifecycleTest, is_not_planned_by_a_clock_that_runs_backwards) {
  put("logs", "one");
  clock.advance(-hours(1));
  EXPECT_EQ(plan_lifecycle(view(), {}, rules, clock.now(), kNobody).error().code, ErrorCode::unavailable);
  EXPECT_FALSE(check_clock(view(), clock.now()));
}

TEST_F(LifecycleTest, keeps_at_least) {
  const auto version = put("logs", "one");
  EXPECT_FALSE(kept_by_rule(rules, version, clock.now()).empty());
  clock.advance(hours(24));
  EXPECT_TRUE(kept_by_rule(rules, version, clock.now()).empty());
}

// A pattern with many stars must not take exponential time.
TEST(Rules, match_in_linear_time) {
  Rule rule;
  NamedVersion version;
  for (int i = 0; i < 60; ++i) rule.name += "a*";
  rule.name += "b";
  version.name = std::string(128, 'a');
  EXPECT_FALSE(rule.fits(version));
}

}  // namespace
}  // namespace redoubt::custody
