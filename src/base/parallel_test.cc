// SPDX-License-Identifier: Apache-2.0
#include "base/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <vector>

namespace redoubt {
namespace {

TEST(Parallel, every_index_is_worked_on_once) {
  std::vector<std::atomic<int>> seen(1000);
  ASSERT_TRUE(for_each_in_parallel(seen.size(), 4, [&](std::size_t index) -> Status {
    ++seen[index];
    return {};
  }));
  for (const auto& count : seen) EXPECT_EQ(count, 1);
  EXPECT_TRUE(for_each_in_parallel(0, 4, [](std::size_t) -> Status { return fail(ErrorCode::internal, "never"); }));
}

TEST(Parallel, the_error_with_the_lowest_index_is_the_answer_and_nothing_new_begins) {
  std::atomic<int> begun = 0;
  const auto done = for_each_in_parallel(100'000, 1, [&](std::size_t index) -> Status {
    ++begun;
    return index < 3 ? Status() : fail(ErrorCode::tampered, std::to_string(index));
  });
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().message, "3");
  EXPECT_EQ(begun, 4);
}

TEST(Parallel, threads_are_at_least_one) {
  EXPECT_EQ(threads_at_most(1), 1u);
  EXPECT_GE(threads_at_most(8), 1u);
  EXPECT_EQ(threads_at_most(0), 1u);
}

}  // namespace
}  // namespace redoubt
