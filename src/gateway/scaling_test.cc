// SPDX-License-Identifier: Apache-2.0
#include "gateway/scaling.h"

#include <gtest/gtest.h>

namespace redoubt::gateway {
namespace {

using namespace std::chrono_literals;

ScaleOptions options_of(const char* text) { return ScaleOptions::from_json(Json::parse(text)).value(); }

class ScalingTest : public ::testing::Test {
 protected:
  Scaling::Time now_{};
};

TEST_F(ScalingTest, the_target_that_asks_for_most_counts) {
  Scaling scaling(options_of(R"({"min": 1, "max": 10, "requests": 4, "tokens_per_second": 100})"));
  EXPECT_EQ(scaling.look({1, 0, 0, 0}, now_), 1);
  EXPECT_EQ(scaling.look({1, 4, 90, 0}, now_), 1);
  EXPECT_EQ(scaling.look({1, 9, 90, 0}, now_), 3);
  EXPECT_EQ(scaling.look({3, 9, 610, 0}, now_), 7);
  EXPECT_EQ(scaling.look({7, 900, 610, 0}, now_), 10);
}

TEST_F(ScalingTest, fewer_only_after_fewer_were_enough_for_a_while) {
  Scaling scaling(options_of(R"({"min": 1, "max": 10, "requests": 1, "scale_in_s": 60})"));
  EXPECT_EQ(scaling.look({1, 5, 0, 0}, now_), 5);
  EXPECT_EQ(scaling.look({5, 2, 0, 0}, now_ + 30s), 5);
  EXPECT_EQ(scaling.look({5, 4, 0, 0}, now_ + 50s), 5);
  EXPECT_EQ(scaling.look({5, 2, 0, 0}, now_ + 61s), 4);
  EXPECT_EQ(scaling.look({4, 2, 0, 0}, now_ + 111s), 2);
}

TEST_F(ScalingTest, down_to_none_only_when_nobody_asked_all_the_while) {
  Scaling scaling(options_of(R"({"min": 0, "max": 2, "requests": 8, "scale_in_s": 60})"));
  EXPECT_EQ(scaling.look({1, 1, 0, 0}, now_), 1);
  EXPECT_EQ(scaling.look({1, 0, 0, 0}, now_ + 59s), 1);
  EXPECT_EQ(scaling.look({1, 0, 0, 0}, now_ + 61s), 0);
  EXPECT_EQ(scaling.look({0, 1, 0, 0}, now_ + 62s), 1);
}

TEST_F(ScalingTest, a_queue_that_is_too_slow_asks_for_more_and_busy_workers_stay) {
  Scaling scaling(options_of(R"({"min": 1, "max": 8, "queue_ms": 100, "scale_in_s": 0})"));
  EXPECT_EQ(scaling.look({2, 9, 0, 100}, now_ + 1s), 2);
  EXPECT_EQ(scaling.look({2, 9, 0, 150}, now_ + 2s), 3);
  EXPECT_EQ(scaling.look({3, 9, 0, 90'000}, now_ + 3s), 6);
  EXPECT_EQ(scaling.look({6, 9, 0, 50}, now_ + 4s), 6);
  EXPECT_EQ(scaling.look({6, 9, 0, 0}, now_ + 5s), 5);
  EXPECT_EQ(scaling.look({5, 0, 0, 0}, now_ + 6s), 1);
}

TEST(ScaleOptions, what_is_wrong_is_named) {
  EXPECT_TRUE(ScaleOptions::from_json(Json::parse(R"({"min": 0})")));
  EXPECT_TRUE(ScaleOptions::from_json(Json::object())->is_fixed());
  for (const char* text : {R"({"min": -1})", R"({"min": 3, "max": 2, "requests": 1})", R"({"max": 0})", R"({"max": 65, "requests": 1})", R"({"max": 2})", R"({"max": 2, "requests": 0})",
                           R"({"max": 2, "requests": "8"})", R"({"most": 2})", R"({"max": 2, "queue_ms": 0})"}) {
    const auto read = ScaleOptions::from_json(Json::parse(text));
    ASSERT_FALSE(read) << text;
    EXPECT_EQ(read.error().code, ErrorCode::invalid_argument) << text;
    EXPECT_TRUE(read.error().where.starts_with("scale")) << text;
  }
}

}  // namespace
}  // namespace redoubt::gateway
