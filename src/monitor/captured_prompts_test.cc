// SPDX-License-Identifier: Apache-2.0
#include "monitor/captured_prompts.h"

#include <gtest/gtest.h>

namespace redoubt::monitor {
namespace {

const TimePoint kNow{std::chrono::seconds{1'700'000'000}};

std::string line(TimePoint time, const std::string& prompt) {
  const Json input = {{"observedContentType", "application/json"}, {"mode", "INPUT"}, {"data", dump_json({{"prompt", prompt}})}, {"encoding", "JSON"}};
  return dump_json({{"captureData", {{"endpointInput", input}}}, {"eventMetadata", {{"eventId", "e"}, {"inferenceTime", to_rfc3339(time)}}}, {"eventVersion", "0"}});
}

void add(CapturedPrompts& prompts, int count, std::chrono::minutes ago, const std::string& text = "How do I list a1?") {
  for (int i = 0; i < count; ++i) prompts.add(line(kNow - ago - std::chrono::milliseconds(i), text));
}

TEST(CapturedPrompts, the_newest_window_is_the_last_minutes_and_the_one_before_shares_none_of_it) {
  CapturedPrompts prompts({.minutes = 60, .rows_min = 10}, kNow);
  add(prompts, 30, std::chrono::minutes(5), "now");
  add(prompts, 20, std::chrono::minutes(90), "before that");
  add(prompts, 40, std::chrono::minutes(400), "long ago");
  const auto windows = prompts.windows();
  ASSERT_EQ(windows.size(), 2u);
  EXPECT_EQ(windows[0].prompts.size(), 30u);
  EXPECT_EQ(windows[0].until, kNow - std::chrono::minutes(5));
  EXPECT_EQ(windows[1].prompts.size(), 20u);
  EXPECT_EQ(windows[1].prompts.front(), measure_features("before that"));
}

TEST(CapturedPrompts, a_quiet_endpoint_s_window_reaches_back_until_it_can_be_judged) {
  CapturedPrompts prompts({.minutes = 60, .rows_min = 50}, kNow);
  for (int hour = 1; hour <= 10; ++hour) add(prompts, 10, std::chrono::minutes(60 * hour));
  const auto windows = prompts.windows();
  ASSERT_EQ(windows.size(), 2u);
  EXPECT_EQ(windows[0].prompts.size(), 50u);
  EXPECT_EQ(windows[1].prompts.size(), 50u);
}

TEST(CapturedPrompts, a_busy_endpoint_s_window_has_its_newest) {
  CapturedPrompts prompts({.minutes = 60, .rows_min = 10, .rows_max = 100}, kNow);
  add(prompts, 500, std::chrono::minutes(50), "older");
  add(prompts, 150, std::chrono::minutes(1), "newer");
  const auto windows = prompts.windows();
  ASSERT_EQ(windows.size(), 2u);
  EXPECT_EQ(windows[0].prompts.size(), 100u);
  EXPECT_EQ(windows[1].prompts.size(), 100u);
  EXPECT_EQ(windows[0].prompts.back(), measure_features("newer"));
  EXPECT_EQ(windows[1].prompts.front(), measure_features("newer"));
  EXPECT_EQ(windows[1].prompts.back(), measure_features("older"));
}

TEST(CapturedPrompts, the_order_of_files_does_not_matter_and_what_came_later_is_left_out) {
  CapturedPrompts forwards({.rows_min = 3}, kNow), backwards({.rows_min = 3}, kNow);
  for (int i = 0; i < 6; ++i) forwards.add(line(kNow - std::chrono::minutes(100 * i - 100), std::string(static_cast<std::size_t>(i) + 1, 'a')));
  for (int i = 5; i >= 0; --i) backwards.add(line(kNow - std::chrono::minutes(100 * i - 100), std::string(static_cast<std::size_t>(i) + 1, 'a')));
  ASSERT_EQ(forwards.windows().size(), 1u);
  EXPECT_EQ(forwards.windows()[0].prompts, backwards.windows()[0].prompts);
  EXPECT_EQ(forwards.windows()[0].prompts.front(), measure_features("aaa")) << "the first was captured after the end, the second at it";
}

TEST(CapturedPrompts, lines_that_are_no_captures_are_counted_and_harm_nothing) {
  CapturedPrompts prompts({.rows_min = 1}, kNow);
  for (const char* text : {"", "{", "null", "[]", R"({"captureData":{}})", R"({"eventMetadata":{"inferenceTime":5}})", R"({"eventMetadata":{"inferenceTime":"yesterday"}})", "\xff"}) prompts.add(text);
  EXPECT_EQ(prompts.unreadable(), 8u);
  prompts.add(line(kNow - std::chrono::minutes(1), ""));  // asked nothing
  EXPECT_EQ(prompts.unreadable(), 8u);
  EXPECT_TRUE(prompts.windows()[0].prompts.empty());
}

Baseline baseline() {
  std::vector<std::string> texts;
  for (int i = 0; i < 300; ++i) texts.push_back("How do I list " + std::string(1 + static_cast<std::size_t>(i) % 20, 'a') + "?");
  return make_baseline(texts).value();
}

std::vector<FeatureValues> usual(int count) {
  std::vector<FeatureValues> prompts;
  for (int i = 0; i < count; ++i) prompts.push_back(measure_features("How do I list " + std::string(1 + static_cast<std::size_t>(i) % 20, 'a') + "?"));
  return prompts;
}
std::vector<FeatureValues> odd(int count) { return std::vector<FeatureValues>(static_cast<std::size_t>(count), measure_features(std::string(900, '7'))); }

TEST(Verdict, an_alarm_needs_both_windows) {
  const auto value = [](std::vector<FeatureValues> newest, std::optional<std::vector<FeatureValues>> before) {
    std::vector<PromptWindow> windows = {{{}, {}, std::move(newest)}};
    if (before) windows.push_back({{}, {}, std::move(*before)});
    return judge_windows(baseline(), windows).value().alarm_value();
  };
  EXPECT_LT(value(usual(200), usual(200)), 1);
  EXPECT_LT(value(odd(200), usual(200)), 1);
  EXPECT_LT(value(usual(200), odd(200)), 1);
  EXPECT_GT(value(odd(200), odd(200)), 1);
  EXPECT_EQ(value(odd(200), std::nullopt), 1) << "not over the limit yet";
}

TEST(Verdict, too_few_prompts_decide_nothing) {
  EXPECT_EQ(judge_windows(baseline(), {{{}, {}, usual(199)}}).error().code, ErrorCode::undecided);
  EXPECT_EQ(judge_windows(baseline(), {}).error().code, ErrorCode::undecided);
}

}  // namespace
}  // namespace redoubt::monitor
