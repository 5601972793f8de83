// SPDX-License-Identifier: Apache-2.0
#include "stages/watch/telling.h"

#include <gtest/gtest.h>

#include <future>

namespace redoubt::stages::watch {
namespace {

using Prepared = Result<std::function<Status()>>;

// What is sent waits for the test.
struct Receiver {
  std::promise<Status> answer;
  std::future<Status> answered = answer.get_future();
  int prepared = 0;
  std::function<Prepared()> message() {
    return [this]() -> Prepared {
      ++prepared;
      return [this] { return answered.get(); };
    };
  }
};

void wait_for(const Telling& telling) {
  while (telling.is_under_way()) std::this_thread::yield();
}

TEST(Telling, keeps_nobody_waiting_and_gives_the_outcome_once) {
  Telling telling;
  Receiver receiver;
  EXPECT_FALSE(telling.ask("a", receiver.message()));
  EXPECT_FALSE(telling.ask("a", receiver.message()));  // still under way
  EXPECT_TRUE(telling.is_under_way());
  EXPECT_EQ(receiver.prepared, 1);
  receiver.answer.set_value({});
  wait_for(telling);
  const auto outcome = telling.ask("a", receiver.message());
  ASSERT_TRUE(outcome);
  EXPECT_TRUE(*outcome);
  EXPECT_EQ(receiver.prepared, 1);
}

TEST(Telling, a_failure_is_given_out_and_the_next_ask_sends_again) {
  Telling telling;
  Receiver first, second;
  EXPECT_FALSE(telling.ask("a", first.message()));
  first.answer.set_value(fail(ErrorCode::unavailable, "nobody there"));
  wait_for(telling);
  EXPECT_EQ(telling.ask("a", first.message()).value().error().code, ErrorCode::unavailable);
  second.answer.set_value({});
  EXPECT_FALSE(telling.ask("a", second.message()));
  wait_for(telling);
  EXPECT_TRUE(telling.ask("a", second.message()).value());
}

TEST(Telling, another_message_waits_and_never_takes_the_outcome_of_the_one_before) {
  Telling telling;
  Receiver first, second;
  EXPECT_FALSE(telling.ask("a", first.message()));
  EXPECT_FALSE(telling.ask("b", second.message()));
  EXPECT_EQ(second.prepared, 0);
  first.answer.set_value({});
  wait_for(telling);
  EXPECT_FALSE(telling.ask("b", second.message()));  // begins; nobody asked for the outcome of "a"
  second.answer.set_value(fail(ErrorCode::permission_denied, "refused"));
  wait_for(telling);
  EXPECT_EQ(telling.ask("b", second.message()).value().error().code, ErrorCode::permission_denied);
}

TEST(Telling, what_cannot_be_prepared_is_told_at_once) {
  Telling telling;
  const auto outcome = telling.ask("a", []() -> Prepared { return fail(ErrorCode::not_found, "no key"); });
  EXPECT_EQ(outcome.value().error().code, ErrorCode::not_found);
  EXPECT_FALSE(telling.is_under_way());
}

TEST(Telling, ends_after_what_is_under_way) {
  Receiver receiver;
  std::future<void> ended;
  {
    auto telling = std::make_unique<Telling>();
    EXPECT_FALSE(telling->ask("a", receiver.message()));
    ended = std::async(std::launch::async, [&telling] { telling.reset(); });
    EXPECT_EQ(ended.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
    receiver.answer.set_value({});
    ended.get();
  }
}

}  // namespace
}  // namespace redoubt::stages::watch
