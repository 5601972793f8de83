// SPDX-License-Identifier: Apache-2.0
//
// The parts of the check by themselves.
#include <gtest/gtest.h>

#include <numeric>
#include <random>

#include "stages/data/language.h"
#include "stages/data/near_duplicates.h"
#include "stages/data/ordered_workers.h"
#include "stages/data/row_text.h"
#include "stages/data/word_lists.h"

namespace redoubt::stages::data {
namespace {

TEST(OrderedWorkers, answer_in_the_order_of_the_pieces) {
  std::vector<int> out;
  OrderedWorkers<int, int> workers(4, 100, [](int& in) { return in * 2; }, [&](int& made) { out.push_back(made); });
  for (int i = 0; i < 500; ++i) workers.put(i, i % 7 == 0 ? 1000 : 10);
  workers.finish();
  ASSERT_EQ(out.size(), 500u);
  for (int i = 0; i < 500; ++i) EXPECT_EQ(out[static_cast<std::size_t>(i)], 2 * i);
}

// What fmix32 and MT19937 make of a seed was computed by datasketch 2.0.0 (num_perm=128, seed=1, scheme="affine32", FNV-1a).
TEST(MinHash, estimates_the_similarity_of_two_texts) {
  std::mt19937 draw(5);
  std::string text;
  for (int i = 0; i < 2000; ++i) text.push_back(static_cast<char>('a' + draw() % 26));
  const MinHasher hasher(1, 5);
  const auto whole = Sketch::of(hasher.signature(text)), most = Sketch::of(hasher.signature(std::string_view(text).substr(0, 1800)));
  EXPECT_DOUBLE_EQ(whole.similarity(whole), 1);
  EXPECT_NEAR(whole.similarity(most), 0.9, 0.1);
  const auto pairs = near_duplicates({whole, Sketch{}, most, Sketch{}}, 0.8, 2);
  EXPECT_FALSE(pairs[0] || pairs[1] || pairs[3]);
  ASSERT_TRUE(pairs[2]);
  EXPECT_EQ(pairs[2]->earlier, 0u);
}

TEST(Words, are_runs_of_letters_and_single_ideographs) {
  const std::string text = "the quick-brown 2 foxes 今日は ok";
  std::vector<std::string> words;
  for (const auto word : words_of(text)) words.emplace_back(word);
  EXPECT_EQ(words, (std::vector<std::string>{"the", "quick", "brown", "2", "foxes", "今", "日", "は", "ok"}));
}

TEST(WordLists, find_a_word_however_it_is_written) {
  const std::vector<WordList> words = {{"RUDE", Action::warn, {"cr\u00e9tin", "stra\u00dfe", "utter fool"}, ""}};
  const WordLists lists(words);
  const auto found = [&](const std::string& text) {
    std::vector<Match> matches;
    lists.find(text, matches);
    return matches.size() == 1 ? text.substr(matches[0].offset, matches[0].length) : std::to_string(matches.size());
  };
  for (const char* word : {"cr\u00e9tin", "CRE\u0301TIN", "cre\u0301tin", "cr\u00e9\u200btin", "cr\u00e9\u00adtin", "STRASSE", "\uff33\uff54rasse", "Utter\u00a0fo\u200dol"}) EXPECT_EQ(found(std::string("you ") + word + "!"), word);
  EXPECT_EQ(found("a cretin, cr\u00e9tins and utterly foolish"), "0");
  EXPECT_EQ(found("cr\u00e9tin\u200b here"), "cr\u00e9tin");
}

TEST(WordLists, of_one_hide_nothing_of_another) {
  const std::vector<WordList> words = {{"RUDE", Action::warn, {"utter fool", "fool", "alpha"}, ""}, {"BANNED", Action::stop, {"fool", "alpha", "fool moon"}, ""}};
  const WordLists lists(words);
  const std::string text = "an utter fool moon, alpha";
  std::vector<Match> matches;
  lists.find(text, matches);
  std::string found;
  for (const auto& match : matches) found += std::string(match.kind) + ":" + text.substr(match.offset, match.length) + " ";
  EXPECT_EQ(found, "RUDE:utter fool BANNED:fool moon RUDE:alpha BANNED:alpha ");
}

TEST(Language, short_texts_are_not_judged) {
  EXPECT_EQ(language_of("Guten Tag", 60), "");
  EXPECT_TRUE(is_expected("zh-Hant", "zh"));
  EXPECT_FALSE(is_expected("english", "en"));
}

}  // namespace
}  // namespace redoubt::stages::data
