// SPDX-License-Identifier: Apache-2.0
#include "engine/model/packed_batch.h"

#include <gtest/gtest.h>

#include <numeric>
#include <random>

namespace redoubt::engine::model {
namespace {

using Ids = std::vector<std::int32_t>;

Ids join(std::initializer_list<Ids> parts) {
  Ids out;
  for (const auto& part : parts) out.insert(out.end(), part.begin(), part.end());
  return out;
}

Ids counting(std::int32_t from, std::size_t count) {
  Ids out(count);
  std::iota(out.begin(), out.end(), from);
  return out;
}

std::vector<Tokens> spans(const std::vector<Ids>& examples) { return {examples.begin(), examples.end()}; }

std::vector<std::int64_t> all_but_one(const std::vector<Ids>& examples) {
  std::vector<std::int64_t> out;
  for (const auto& ids : examples) out.push_back(std::ssize(ids) - 1);
  return out;
}

TEST(PackedBatch, what_examples_begin_with_is_laid_down_once) {
  const std::vector<Ids> examples = {join({counting(1, 10), {70, 71}}), counting(40, 12), join({counting(1, 10), {80}})};
  const auto stems = find_stems(spans(examples), all_but_one(examples));
  ASSERT_EQ(stems.size(), 2u);
  EXPECT_EQ(stems[0].examples, (std::vector<std::size_t>{0, 2}));
  EXPECT_EQ(stems[0].shared, 10);
  const auto batch = pack(spans(examples), stems);
  EXPECT_EQ(batch.tokens.size(0), 32);  // for 10 + 2 + 1 + 12
  ASSERT_EQ(batch.segments.size(), 4u);
  EXPECT_EQ(batch.segments[3].length, 10);
  EXPECT_EQ(batch.segments[2].stem, batch.segments[3].begin);
  for (std::size_t e = 0; e < examples.size(); ++e)
    for (std::int64_t t = batch.segments[e].past; t < std::ssize(examples[e]); ++t) {
      EXPECT_EQ(batch.tokens[batch.row(e, t)].item<std::int64_t>(), examples[e][static_cast<std::size_t>(t)]);
      EXPECT_EQ(batch.positions[batch.row(e, t)].item<std::int64_t>(), t);
    }
}

TEST(PackedBatch, no_more_is_shared_than_each_example_allows) {
  const std::vector<Ids> examples = {join({counting(1, 20), {70}}), join({counting(1, 20), {80}})};
  EXPECT_EQ(find_stems(spans(examples), std::vector<std::int64_t>{20, 20}).at(0).shared, 20);
  EXPECT_EQ(find_stems(spans(examples), std::vector<std::int64_t>{20, 11}).at(0).shared, 11);
  EXPECT_EQ(find_stems(spans(examples), std::vector<std::int64_t>{20, 0}).size(), 2u);
}

TEST(PackedBatch, stems_are_cut_where_that_saves_the_most_rows) {
  const auto near = join({counting(1, 10), counting(30, 30)}), far = join({counting(1, 10), counting(70, 30)});
  const std::vector<Ids> examples = {join({near, {90}}), join({far, {91}}), join({near, {92}}), join({far, {93}})};
  // One stem of four would save 3 * 10 rows, two of two save 40 each.
  const auto stems = find_stems(spans(examples), all_but_one(examples));
  ASSERT_EQ(stems.size(), 2u);
  EXPECT_EQ(stems[0].shared + stems[1].shared, 80);
}

TEST(PackedBatch, each_example_has_one_stem_and_begins_as_it_says) {
  std::mt19937_64 draw(5);
  for (int round = 0; round < 200; ++round) {
    std::vector<Ids> examples(1 + draw() % 12);
    for (auto& ids : examples) {
      ids = counting(0, 8 + draw() % 4);
      for (std::size_t more = 1 + draw() % 9; more > 0; --more) ids.push_back(static_cast<std::int32_t>(draw() % 3));
    }
    std::vector<std::size_t> seen;
    for (const auto& stem : find_stems(spans(examples), all_but_one(examples))) {
      seen.insert(seen.end(), stem.examples.begin(), stem.examples.end());
      const auto& first = examples[stem.examples[0]];
      for (auto index : stem.examples) {
        ASSERT_LT(stem.shared, std::ssize(examples[index]));
        EXPECT_TRUE(std::equal(first.begin(), first.begin() + stem.shared, examples[index].begin()));
      }
      EXPECT_TRUE(stem.examples.size() > 1 || stem.shared == 0);
    }
    std::sort(seen.begin(), seen.end());
    std::vector<std::size_t> all(examples.size());
    std::iota(all.begin(), all.end(), std::size_t{0});
    EXPECT_EQ(seen, all);
  }
}

}  // namespace
}  // namespace redoubt::engine::model
