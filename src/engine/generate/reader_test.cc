// SPDX-License-Identifier: Apache-2.0
#include "engine/generate/reader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "engine/generate/testing_texts.h"

namespace redoubt::engine::generate {
namespace {

using testing_model::Counting;

struct Milestones final : Listener {
  void started(const std::string& id, std::size_t tokens) override { log += id + ":started " + std::to_string(tokens) + "\n"; }
  void piece(const std::string&, const Piece&) override {}
  void done(const std::string& id, FinishReason reason, const Usage& usage) override { log += id + ":" + to_string(reason) + " " + std::to_string(usage.prompt) + "\n"; }
  void failed(const std::string& id, const Error& error) override { log += id + ":failed " + error.message + "\n"; }
  std::string log;
};

class ReaderTest : public testing::Test {
 protected:
  Counting model;
  Milestones recorder;
  std::map<std::string, std::vector<TextRead>> texts;
  Reader reader{model, recorder, [this](const auto& id, const auto& text) { texts[id].push_back(text); }, {.waiting_max = 3, .tokens_piece = 8}};
  void run() {
    while (reader.busy()) reader.step();
  }
};

TEST_F(ReaderTest, short_texts_go_together_and_come_in_their_order) {
  ASSERT_TRUE(reader.submit({.id = "a", .texts = {{3, 3}, {0, 0, 0}, {4}, {1, 1, 1}}}));
  run();
  EXPECT_EQ(model.passes, (std::vector<Counting::Pass>{{3, 6}, {1, 3}}));
  ASSERT_EQ(texts["a"].size(), 4u);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(texts["a"][i].index, i);
  EXPECT_NEAR(texts["a"][0].embedding[0], 3 / std::sqrt(10), 1e-6);
  EXPECT_NEAR(texts["a"][0].embedding[1], 1 / std::sqrt(10), 1e-6);
  EXPECT_FLOAT_EQ(texts["a"][1].embedding[1], 1);
  EXPECT_EQ(texts["a"][1].tokens, 3u);
  EXPECT_FALSE(texts["a"][1].nats);
  EXPECT_EQ(recorder.log, "a:started 9\na:stop 9\n");
}

TEST_F(ReaderTest, a_long_text_goes_in_pieces_between_which_others_have_their_turn) {
  ASSERT_TRUE(reader.submit({.id = "long", .texts = {std::vector<std::int32_t>(30, 2), {5}}}));
  ASSERT_TRUE(reader.submit({.id = "other", .texts = {std::vector<std::int32_t>(20, 2)}}));
  ASSERT_TRUE(reader.submit({.id = "short", .texts = {{1}, {2}}}));
  for (int i = 0; i < 4; ++i) reader.step();
  EXPECT_EQ(texts["short"].size(), 2u);
  EXPECT_TRUE(texts["long"].empty());
  run();
  // One long text at a time: the other began when the first had ended.
  const auto begun = std::find(model.passes.begin(), model.passes.end(), Counting::Pass{1, 6});  // the rest of 30
  EXPECT_EQ(std::count(begun, model.passes.end(), Counting::Pass{1, 8}), 2);
  EXPECT_EQ(std::count(model.passes.begin(), begun, Counting::Pass{1, 8}), 3);
  EXPECT_NEAR(texts["long"][0].embedding[0], 2 / std::sqrt(5), 1e-6);
  EXPECT_EQ(texts["long"].size(), 2u);
  EXPECT_EQ(texts["other"].size(), 1u);
}

TEST_F(ReaderTest, adapters_do_not_go_together) {
  ASSERT_TRUE(reader.submit({.id = "base", .texts = {{1}}}));
  ASSERT_TRUE(reader.submit({.id = "tuned", .adapter = 1, .texts = {{1}}}));
  run();
  EXPECT_EQ(model.passes.size(), 2u);
}

TEST_F(ReaderTest, tells_how_unexpected_a_text_is_and_the_worst_window_of_it) {
  ASSERT_TRUE(reader.submit({.id = "a", .texts = {{99, 1, 1, 1, 1, 9, 9, 1, 1, 1, 1, 1}, {99, 3, 5}, {99}}, .window = 3}));
  run();
  EXPECT_DOUBLE_EQ(texts["a"][0].nats.value(), 27.0 / 11);
  EXPECT_DOUBLE_EQ(texts["a"][0].window_nats.value(), 19.0 / 3);
  EXPECT_DOUBLE_EQ(texts["a"][1].window_nats.value(), 4.0);
  EXPECT_FALSE(texts["a"][2].nats || texts["a"][2].window_nats);
}

TEST_F(ReaderTest, refuses_what_cannot_be_read) {
  EXPECT_EQ(reader.submit({.id = "a"}).error().where, "input");
  EXPECT_EQ(reader.submit({.id = "a", .texts = {{1}, {}}}).error().where, "input");
  EXPECT_EQ(reader.submit({.id = "a", .texts = {{100}}}).error().where, "input");
  EXPECT_EQ(reader.submit({.id = "a", .texts = {{-1}}}).error().where, "input");
  EXPECT_EQ(reader.submit({.id = "a", .adapter = 2, .texts = {{1}}}).error().where, "model");
  EXPECT_EQ(reader.submit({.id = "a", .texts = {std::vector<std::int32_t>(41, 1)}}).error().code, ErrorCode::limit_exceeded);
  EXPECT_TRUE(reader.submit({.id = "a", .texts = {std::vector<std::int32_t>(40, 1)}}));
  EXPECT_EQ(reader.submit({.id = "a", .texts = {{1}}}).error().code, ErrorCode::already_exists);
  EXPECT_TRUE(reader.submit({.id = "b", .texts = {{1}}}));
  EXPECT_TRUE(reader.submit({.id = "c", .texts = {{1}}}));
  EXPECT_EQ(reader.submit({.id = "d", .texts = {{1}}}).error().where, "queue");
}

TEST_F(ReaderTest, a_cancelled_text_makes_room_and_what_was_read_of_it_is_told) {
  ASSERT_TRUE(reader.submit({.id = "long", .texts = {std::vector<std::int32_t>(30, 2)}}));
  ASSERT_TRUE(reader.submit({.id = "other", .texts = {std::vector<std::int32_t>(20, 2)}}));
  reader.step();
  reader.cancel("long");
  reader.cancel("nobody");
  run();
  EXPECT_NE(recorder.log.find("long:cancelled 8\n"), std::string::npos);
  EXPECT_NE(recorder.log.find("other:stop 20\n"), std::string::npos);
}

TEST_F(ReaderTest, tells_when_the_model_fails_and_goes_on) {
  model.failing = true;
  ASSERT_TRUE(reader.submit({.id = "long", .texts = {std::vector<std::int32_t>(30, 2)}}));
  reader.step();
  EXPECT_NE(recorder.log.find("long:failed broken\n"), std::string::npos);
  model.failing = false;
  ASSERT_TRUE(reader.submit({.id = "again", .texts = {std::vector<std::int32_t>(30, 2)}}));
  run();
  EXPECT_EQ(texts["again"].size(), 1u);
}

}  // namespace
}  // namespace redoubt::engine::generate
