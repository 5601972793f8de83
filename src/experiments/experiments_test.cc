// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>

#include "experiments/run.h"

namespace redoubt::experiments {
namespace {

TEST(Plot, a_rising_line_goes_from_the_lower_left_to_the_upper_right) {
  // The ends alone are drawn where the two points are not joined: as two curves.
  const TerminalPlotOptions small{.columns = 4, .rows = 3, .characters = Characters::ascii};
  EXPECT_EQ(terminal_plot({{"a", {{0, 0}}}, {"b", {{3, 3}}}}, small),
            "         3 |   *\n           |    \n         0 |*   \n           +----\n           step 0 to 3: a, b\n");
  const auto joined = terminal_plot({{"a", {{0, 0}, {3, 3}}}}, small);
  const auto top = joined.find('|') + 1, bottom = joined.find("0 |") + 3;
  EXPECT_EQ(std::string({joined[top], joined[top + 3], joined[bottom], joined[bottom + 3]}), " ** ") << joined;
}

TEST(Plot, braille_has_a_dot_in_each_corner) {
  const auto text = terminal_plot({{"a", {{0, 0}}}, {"b", {{1, 1}}}}, {.columns = 1, .rows = 1});
  EXPECT_NE(text.find("\u2848"), std::string::npos) << text;  // dots 4 and 7
}

TEST(Plot, level_lines_and_no_points_are_drawn_without_fault) {
  EXPECT_EQ(terminal_plot({{"a", {}}}, {}), "");
  EXPECT_EQ(terminal_plot({{"a", {{1, NAN}}}}, {}), "");
  EXPECT_NE(terminal_plot({{"a", {{5, 2}, {6, 2}}}}, {}), "");
}

TEST(Plot, an_svg_escapes_what_it_names) {
  const auto text = svg_plot({{"<a&b>", {{0, 1}, {1, 2}}}}, "t<", "nats");
  EXPECT_EQ(text.find("<a&b>"), std::string::npos);
  EXPECT_NE(text.find("&lt;a&amp;b&gt;"), std::string::npos);
}

TEST(Curves, come_from_step_and_epoch_events) {
  const auto curves = parse_curves("{\"event\":\"step\",\"step\":1,\"loss\":2.5,\"tokens\":10,\"tokens_per_second\":5}\n"
                                   "{\"event\":\"step\",\"step\":2,\"loss\":2,\"tokens\":10,\"tokens_per_second\":10}\n{\"event\":\"epoch\",\"eval_loss\":1.5}\n");
  ASSERT_TRUE(curves);
  EXPECT_EQ(curves->loss.points, (std::vector<std::pair<double, double>>{{1, 2.5}, {2, 2}}));
  EXPECT_EQ(curves->eval_loss.points, (std::vector<std::pair<double, double>>{{2, 1.5}}));
  EXPECT_DOUBLE_EQ(*curves->tokens_per_second, 20.0 / 3);
}

TEST(Curves, a_broken_line_is_named) {
  const auto curves = parse_curves("{\"event\":\"step\"}\n");
  ASSERT_FALSE(curves);
  EXPECT_NE(curves.error().where.find("metrics.jsonl:1"), std::string::npos);
}

TEST(FindRun, takes_a_unique_start_alone) {
  const auto run = [](const std::string& start) {
    experiments::Run made;
    made.id = *Digest::parse("sha256:" + start + std::string(64 - start.size(), '0'));
    return made;
  };
  const std::vector<experiments::Run> runs = {run("ab1"), run("ab2")};
  EXPECT_EQ(find_run(runs, "sha256:ab2")->id, runs[1].id);
  EXPECT_EQ(find_run(runs, "ab").error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(find_run(runs, "xyz").error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(find_run(runs, "cd").error().code, ErrorCode::not_found);
}

}  // namespace
}  // namespace redoubt::experiments
