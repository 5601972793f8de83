// SPDX-License-Identifier: Apache-2.0
#include "base/background_task.h"

#include <gtest/gtest.h>

#include <future>

namespace redoubt {
namespace {

using Prepared = Result<std::function<Status()>>;

// Work that waits for the test.
struct Work {
  std::promise<Status> answer;
  std::future<Status> answered = answer.get_future();
  int prepared = 0;
  std::function<Prepared()> prepare() {
    return [this]() -> Prepared {
      ++prepared;
      return [this] { return answered.get(); };
    };
  }
};

void wait_for(const BackgroundTask& task) {
  while (task.is_under_way()) std::this_thread::yield();
}

TEST(BackgroundTask, keeps_nobody_waiting_and_gives_the_outcome_once) {
  BackgroundTask task;
  Work work;
  EXPECT_FALSE(task.ask("a", work.prepare()));
  EXPECT_FALSE(task.ask("a", work.prepare()));  // still under way
  EXPECT_TRUE(task.is_under_way());
  EXPECT_EQ(work.prepared, 1);
  work.answer.set_value({});
  wait_for(task);
  const auto outcome = task.ask("a", work.prepare());
  ASSERT_TRUE(outcome);
  EXPECT_TRUE(*outcome);
  EXPECT_EQ(work.prepared, 1);
}

TEST(BackgroundTask, a_failure_is_given_out_and_the_next_ask_begins_again) {
  BackgroundTask task;
  Work first, second;
  EXPECT_FALSE(task.ask("a", first.prepare()));
  first.answer.set_value(fail(ErrorCode::unavailable, "nobody there"));
  wait_for(task);
  EXPECT_EQ(task.ask("a", first.prepare()).value().error().code, ErrorCode::unavailable);
  second.answer.set_value({});
  EXPECT_FALSE(task.ask("a", second.prepare()));
  wait_for(task);
  EXPECT_TRUE(task.ask("a", second.prepare()).value());
}

TEST(BackgroundTask, another_task_waits_and_never_takes_the_outcome_of_the_one_before) {
  BackgroundTask task;
  Work first, second;
  EXPECT_FALSE(task.ask("a", first.prepare()));
  EXPECT_FALSE(task.ask("b", second.prepare()));
  EXPECT_EQ(second.prepared, 0);
  first.answer.set_value({});
  wait_for(task);
  EXPECT_FALSE(task.ask("b", second.prepare()));  // begins; nobody asked for the outcome of "a"
  second.answer.set_value(fail(ErrorCode::permission_denied, "refused"));
  wait_for(task);
  EXPECT_EQ(task.ask("b", second.prepare()).value().error().code, ErrorCode::permission_denied);
}

TEST(BackgroundTask, what_cannot_be_prepared_is_an_outcome_at_once) {
  BackgroundTask task;
  const auto outcome = task.ask("a", []() -> Prepared { return fail(ErrorCode::not_found, "no key"); });
  EXPECT_EQ(outcome.value().error().code, ErrorCode::not_found);
  EXPECT_FALSE(task.is_under_way());
}

TEST(BackgroundTask, ends_after_what_is_under_way) {
  Work work;
  std::future<void> ended;
  {
    auto task = std::make_unique<BackgroundTask>();
    EXPECT_FALSE(task->ask("a", work.prepare()));
    ended = std::async(std::launch::async, [&task] { task.reset(); });
    EXPECT_EQ(ended.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
    work.answer.set_value({});
    ended.get();
  }
}

}  // namespace
}  // namespace redoubt
