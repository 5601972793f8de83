// SPDX-License-Identifier: Apache-2.0
#include "gateway/fair_queue.h"

#include <gtest/gtest.h>

namespace redoubt::gateway {
namespace {

TEST(FairQueueTest, one_payers_requests_come_in_their_order) {
  FairQueue queue;
  for (std::uint64_t id : {3, 4, 5}) queue.add(id, "a");
  EXPECT_EQ(queue.take(), 3u);
  queue.add_again(3, "a");  // its worker was lost
  EXPECT_EQ(queue.take(), 3u);
  EXPECT_EQ(queue.take(), 4u);
  EXPECT_EQ(queue.take(), 5u);
  EXPECT_TRUE(queue.empty());
}

TEST(FairQueueTest, who_has_fewer_running_comes_before_a_flood) {
  FairQueue queue;
  for (std::uint64_t id = 1; id <= 100; ++id) queue.add(id, "flood");
  EXPECT_EQ(queue.take(), 1u);
  EXPECT_EQ(queue.take(), 2u);
  queue.add(101, "other");
  EXPECT_EQ(queue.take(), 101u);
  queue.add(102, "other");
  EXPECT_EQ(queue.take(), 102u);  // 1 against 2
  queue.add(103, "other");
  EXPECT_EQ(queue.take(), 3u);  // 2 against 2, and the flood was served longer ago
  queue.end("flood");
  queue.end("flood");
  queue.end("flood");
  EXPECT_EQ(queue.take(), 4u);
}

TEST(FairQueueTest, among_equals_who_was_served_longest_ago_is_next) {
  FairQueue queue;
  queue.add(1, "a");
  queue.add(2, "b");
  EXPECT_EQ(queue.take(), 1u);  // neither was served: who came first
  EXPECT_EQ(queue.take(), 2u);
  queue.end("a");
  queue.end("b");
  queue.add(3, "b");
  queue.add(4, "a");
  EXPECT_EQ(queue.take(), 4u);
  EXPECT_EQ(queue.take(), 3u);
}

TEST(FairQueueTest, what_is_removed_is_not_served) {
  FairQueue queue;
  queue.add(1, "a");
  queue.add(2, "a");
  queue.remove(1, "a");
  queue.remove(1, "a");
  queue.remove(7, "nobody");
  EXPECT_EQ(queue.waiting(), std::vector<std::uint64_t>{2});
  EXPECT_TRUE(queue.holds_one_of("a"));
  EXPECT_EQ(queue.take(), 2u);
  EXPECT_FALSE(queue.holds_one_of("a"));
  EXPECT_EQ(queue.size(), 0u);
}

TEST(FairQueueTest, the_newest_of_who_has_most_gives_way_to_who_has_two_fewer) {
  FairQueue queue;
  EXPECT_EQ(queue.make_room("a"), std::nullopt);
  for (std::uint64_t id : {1, 2, 3}) queue.add(id, "flood");
  queue.add(4, "other");
  EXPECT_EQ(queue.make_room("flood"), std::nullopt);
  EXPECT_EQ(queue.make_room("other"), 3u);
  EXPECT_EQ(queue.make_room("other"), std::nullopt);  // 1 against 2
  EXPECT_EQ(queue.make_room("third"), 2u);
  EXPECT_EQ(queue.size(), 2u);
}

TEST(FairQueueTest, thousands_of_payers_who_are_gone_are_forgotten_and_those_who_run_are_not) {
  FairQueue queue;
  queue.add(1, "runs");
  EXPECT_EQ(queue.take(), 1u);
  for (std::uint64_t id = 2; id < 20'000; ++id) {
    const auto payer = "payer " + std::to_string(id);
    queue.add(id, payer);
    EXPECT_EQ(queue.take(), id);
    queue.end(payer);
  }
  queue.add(20'000, "runs");
  queue.add(20'001, "new");
  EXPECT_EQ(queue.take(), 20'001u);  // the other has one running
  queue.end("runs");
}

}  // namespace
}  // namespace redoubt::gateway
