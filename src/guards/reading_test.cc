// SPDX-License-Identifier: Apache-2.0
#include "guards/reading.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace redoubt::guards {
namespace {

using ::testing::HasSubstr;

ReadingOptions options_of(const Json& reading) { return read_guards({{"reading", reading}}).value().reading; }

std::string why(const Json& reading) {
  const auto read = read_guards({{"reading", reading}});
  return read ? "taken" : read.error().message;
}

TEST(ReadingGuards, options_are_read_and_what_is_wrong_is_named) {
  const auto options = options_of({{"topics", {{{"name", "weapons"}, {"examples", {"a", "b"}}, {"threshold", 0.7}, {"action", "log"}}}}, {"anomaly", {{"perplexity_max", 500}, {"window", 8}}}, {"unread", "log"}});
  EXPECT_EQ(options.topics.at(0).examples.size(), 2u);
  EXPECT_EQ(options.topics[0].action, Action::log);
  EXPECT_EQ(options.anomaly->window, 8);
  EXPECT_EQ(options.anomaly->action, Action::refuse);
  EXPECT_EQ(options.unread, Action::log);
  EXPECT_EQ(options_of({{"anomaly", Json::object()}}).unread, Action::refuse);
  EXPECT_FALSE(read_guards(Json::object())->reading.looks());
  const Json topic = {{"name", "w"}, {"examples", {"a"}}};
  const auto topic_with = [&](const Json& more) {
    auto changed = topic;
    changed.update(more);
    return Json{{"topics", {changed}}};
  };
  EXPECT_THAT(why(topic_with({{"action", "redact"}})), HasSubstr("w.action is log or refuse"));
  EXPECT_THAT(why(topic_with({{"name", "Big"}})), HasSubstr("small letters"));
  EXPECT_THAT(why(topic_with({{"examples", Json::array()}})), HasSubstr("w has 1 to 100 examples"));
  EXPECT_THAT(why(topic_with({{"examples", {""}}})), HasSubstr("an example is a text"));
  EXPECT_THAT(why(topic_with({{"threshold", 1}})), HasSubstr("threshold"));
  EXPECT_THAT(why({{"topics", {topic, topic}}}), HasSubstr("two have the name w"));
  EXPECT_THAT(why({{"anomaly", {{"perplexity_max", 1}}}}), HasSubstr("perplexity_max"));
  EXPECT_THAT(why({{"anomaly", {{"window", 3}}}}), HasSubstr("window"));
  EXPECT_THAT(why({{"anomaly", Json::object()}, {"time_ms_max", 5}}), HasSubstr("time_ms_max"));
  EXPECT_THAT(why({{"anomaly", Json::object()}, {"unread", "redact"}}), HasSubstr("reading.unread"));
  EXPECT_THAT(why(Json::object()), HasSubstr("topics, an anomaly, or both"));
  EXPECT_NE(why({{"anomaly", Json::object()}, {"more", 1}}), "taken");
}

TEST(ReadingGuards, a_text_comes_whole_in_pieces_that_overlap) {
  EXPECT_TRUE(pieces_of("").empty());
  EXPECT_EQ(pieces_of("a b").size(), 1u);
  std::string words, letters, wide;
  for (int i = 0; i < 400; ++i) words += "word" + std::to_string(i) + (i % 7 == 0 ? "\n" : " ");
  std::minstd_rand random(1);  // so that no piece stands twice
  for (int i = 0; i < 3000; ++i) letters += static_cast<char>('a' + random() % 26);
  for (int i = 0; i < 1000; ++i) wide += random() % 2 == 0 ? "é" : "漢";
  for (const auto& text : {words, letters, wide, words + letters + wide + words}) {
    const auto pieces = pieces_of(text);
    std::size_t at = 0, covered = 0;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      ASSERT_LE(pieces[i].size(), 400u);
      ASSERT_NE(static_cast<unsigned char>(pieces[i].front()) & 0xC0, 0x80) << "half a character";
      at = text.find(pieces[i], at);
      ASSERT_NE(at, text.npos);
      const auto shared = i == 0 ? 100 : covered - at;
      ASSERT_GE(shared, 100u) << "what lies across a cut is whole in one of them";
      covered = at + pieces[i].size();
    }
    EXPECT_EQ(covered, text.size());
  }
}

// What all embeddings have in common is the first number.
TEST(ReadingGuards, a_topic_is_near_by_what_an_embedding_does_not_share_with_all) {
  const auto options = options_of({{"topics", {{{"name", "weapons"}, {"examples", {"a", "b"}}, {"threshold", 0.8}}, {{"name", "medicine"}, {"examples", {"c"}}, {"threshold", 0.8}, {"action", "log"}}}}});
  const auto sentences = Topics::sentences(options);
  const auto neutral = sentences.size() - 3;
  EXPECT_EQ(sentences[neutral], "a");
  std::vector<std::vector<float>> embeddings(neutral, {0.9f, 0, 0});
  embeddings.insert(embeddings.end(), {{0.9f, 0.3f, 0}, {0.9f, 0.3f, 0.1f}, {0.9f, 0, 0.3f}});
  const auto topics = Topics::create(options, embeddings).value();
  const auto hits = [&](std::vector<float> embedding) {
    std::string names;
    for (const auto& hit : judge(options, &topics, {5, std::move(embedding), {}})) names += hit.group + ":" + hit.kind + ":" + to_string(hit.action) + " ";
    return names;
  };
  EXPECT_EQ(hits({0.9f, 0.2f, 0}), "topics:weapons:refuse ");
  EXPECT_EQ(hits({0.9f, 0, 0.1f}), "topics:medicine:log ");
  EXPECT_EQ(hits({0.9f, -0.2f, 0}), "");
  EXPECT_EQ(hits({0.9f, 0, 0}), "");
  EXPECT_NEAR(topics.look(std::vector<float>{0.9f, 0.3f, 0})[0].cosine, 1, 1e-6);
  embeddings.pop_back();
  EXPECT_EQ(Topics::create(options, embeddings).error().code, ErrorCode::unavailable);
  embeddings.push_back({1});
  EXPECT_FALSE(Topics::create(options, embeddings));
}

TEST(ReadingGuards, a_window_beyond_the_limit_is_an_anomaly_and_few_tokens_are_none) {
  const auto options = options_of({{"anomaly", {{"perplexity_max", 1000}, {"window", 16}}}});  // 6.9 nats
  const auto hits = [&](std::size_t tokens, std::optional<double> nats) { return judge(options, nullptr, {tokens, {}, nats}).size(); };
  EXPECT_EQ(hits(40, 6.8), 0u);
  EXPECT_EQ(hits(40, 7.0), 1u);
  EXPECT_EQ(hits(17, 7.0), 1u);
  EXPECT_EQ(hits(3, 20), 0u);  // two rare words
  EXPECT_EQ(hits(9, 14), 1u);
  EXPECT_EQ(hits(1, std::nullopt), 0u);
  EXPECT_EQ(judge(options, nullptr, {40, {}, 9.0}).at(0).kind, "PERPLEXITY");
}

}  // namespace
}  // namespace redoubt::guards
