// SPDX-License-Identifier: Apache-2.0
#include "gateway/budget.h"

#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

namespace redoubt::gateway {
namespace {

using namespace std::chrono_literals;

ApiKeyInfo key_with(UseLimits limits, const std::string& tenant = "") {
  ApiKeyInfo key;
  key.id = "k";
  key.tenant = tenant;
  key.limits = limits;
  return key;
}

class BudgetsTest : public ::testing::Test {
 protected:
  FakeClock clock_{parse_rfc3339("2026-01-31T23:59:30Z").value()};
};

TEST_F(BudgetsTest, what_was_not_used_comes_back) {
  Budgets budgets(clock_, {}, {});
  const auto key = key_with({.tokens_per_day = 100});
  auto first = budgets.reserve(key, {40, 50}).value();
  EXPECT_EQ(first->answer_tokens(), 50);
  EXPECT_EQ(budgets.reserve(key, {10, 5}).error().limit, "tokens_per_day");
  EXPECT_TRUE(first->start(30));
  first->settle({30, 20});
  EXPECT_EQ(budgets.reserve(key, {10, 500}).value()->answer_tokens(), 40);
}

TEST_F(BudgetsTest, an_answer_is_cut_to_what_is_left) {
  Budgets budgets(clock_, {}, {});
  const auto key = key_with({.tokens_per_minute = 100});
  EXPECT_EQ(budgets.reserve(key, {99, 50}).value()->answer_tokens(), 1);
  const auto refused = budgets.reserve(key, {100, 50});
  EXPECT_EQ(refused.error().retry_s, 30);
}

TEST_F(BudgetsTest, a_request_that_never_started_costs_nothing_and_one_that_broke_off_all) {
  Budgets budgets(clock_, {}, {});
  const auto key = key_with({.requests_per_day = 3, .tokens_per_day = 100});
  budgets.reserve(key, {50, 50}).value().reset();
  auto second = budgets.reserve(key, {50, 50}).value();
  EXPECT_TRUE(second->start(50));
  second.reset();
  EXPECT_EQ(budgets.reserve(key, {1, 1}).error().limit, "tokens_per_day");
}

TEST_F(BudgetsTest, a_prompt_that_is_longer_than_thought_needs_room) {
  Budgets budgets(clock_, {}, {});
  const auto key = key_with({.tokens_per_day = 100});
  auto one = budgets.reserve(key, {10, 80}).value();
  EXPECT_TRUE(one->start(20));
  EXPECT_TRUE(one->start(20));
  auto two = budgets.reserve(key_with({.tokens_per_day = 200}), {10, 60}).value();
  const auto refused = two->start(200);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().limit, "tokens_per_day");
  EXPECT_EQ(refused.error().retry_s, 30);  // to midnight
}

TEST_F(BudgetsTest, money_is_exact) {
  // 3 and 15 a million tokens, of 0.001 a day: 1,000 millionths.
  Budgets budgets(clock_, {3'000'000, 15'000'000}, {});
  const auto key = key_with({.money_per_day = 1'000});
  auto one = budgets.reserve(key, {100, 1'000}).value();
  EXPECT_EQ(one->answer_tokens(), 46);  // 300 for the prompt, 700 left, 15 each
  one->settle({100, 46});
  EXPECT_EQ(budgets.reserve(key, {3, 1}).error().limit, "money_per_day");
}

TEST_F(BudgetsTest, minutes_days_and_months_end) {
  Budgets budgets(clock_, {1'000'000, 1'000'000}, {});
  const auto key = key_with({.requests_per_day = 2, .tokens_per_minute = 10, .money_per_month = 20});
  budgets.reserve(key, {5, 5}).value()->settle({5, 5});
  EXPECT_EQ(budgets.reserve(key, {5, 5}).error().retry_s, 30);
  clock_.advance(30s);  // February
  budgets.reserve(key, {5, 5}).value()->settle({5, 5});
  clock_.advance(60s);
  budgets.reserve(key, {5, 5}).value()->settle({5, 5});
  clock_.advance(60s);
  // Of the day and the month that are used up the month ends last.
  const auto refused = budgets.reserve(key, {5, 5});
  EXPECT_EQ(refused.error().limit, "money_per_month");
  EXPECT_EQ(refused.error().retry_s, 28 * 24 * 3600 - 120);
  clock_.advance(24h);
  EXPECT_EQ(budgets.reserve(key, {5, 5}).error().limit, "money_per_month");
  clock_.advance(std::chrono::hours(27 * 24));
  EXPECT_TRUE(budgets.reserve(key, {5, 5}));
}

TEST_F(BudgetsTest, a_tenants_keys_share_its_limits) {
  Budgets budgets(clock_, {}, {{"t", {.tokens_per_day = 100}}});
  auto a = key_with({}, "t"), b = key_with({}, "t");
  b.id = "b";
  const auto held = budgets.reserve(a, {10, 60}).value();
  EXPECT_EQ(budgets.reserve(b, {10, 60}).value()->answer_tokens(), 20);
  EXPECT_EQ(budgets.reserve(key_with({}, "other"), {10, 600}).value()->answer_tokens(), 600);
  EXPECT_FALSE(budgets.tokens_of_minute(a));
}

TEST_F(BudgetsTest, all_who_ask_a_model_share_its_limits) {
  Budgets budgets(clock_, {}, {}, nullptr, {{"m", {.requests_per_minute = 2, .tokens_per_day = 100}}});
  auto one = key_with({.requests_per_minute = 5}), other = key_with({});
  other.id = "other";
  EXPECT_EQ(budgets.reserve(one, {10, 80}, "m").value()->answer_tokens(), 80);
  EXPECT_EQ(budgets.requests_of_minute(one, "m")->limit, 2);
  EXPECT_EQ(budgets.requests_of_minute(one)->remaining, 4);
  EXPECT_FALSE(budgets.requests_of_minute(other));
  const auto held = budgets.reserve(other, {10, 80}, "m").value();
  EXPECT_EQ(held->answer_tokens(), 80);  // what the one before reserved came back
  EXPECT_EQ(budgets.reserve(one, {1, 1}, "m").error().limit, "requests_per_minute");
  EXPECT_TRUE(budgets.reserve(one, {1, 1}, "another"));
}

TEST_F(BudgetsTest, many_at_once_never_overshoot) {
  Budgets budgets(clock_, {}, {{"t", {.tokens_per_day = 20'000}}});
  std::atomic<std::int64_t> used = 0;
  std::vector<std::thread> threads;
  for (unsigned seed = 0; seed < 8; ++seed)
    threads.emplace_back([&, seed] {
      std::mt19937 random(seed);
      auto key = key_with({.tokens_per_day = 5'000}, "t");
      key.id = std::to_string(seed % 5);
      for (int i = 0; i < 500; ++i) {
        auto held = budgets.reserve(key, {static_cast<std::int64_t>(random() % 50 + 1), static_cast<std::int64_t>(random() % 100 + 1)});
        if (!held) continue;
        const auto prompt = static_cast<std::int64_t>(random() % 60 + 1);
        if (!(*held)->start(prompt)) continue;
        const auto answer = static_cast<std::int64_t>(random() % static_cast<unsigned>((*held)->answer_tokens() + 1));
        used += prompt + answer;
        EXPECT_LE(used.load(), 20'000);
        (*held)->settle({prompt, answer});
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_GT(used.load(), 19'000);
}

class BudgetBookTest : public BudgetsTest {
 protected:
  BudgetStorage storage() {
    return {[this]() -> Result<std::string> { return stored_; },
            [this](const std::string& json) -> Status {
              if (fails_) return fail(ErrorCode::unavailable, "the disk is full");
              const std::lock_guard lock(mutex_);
              stored_ = json;
              return {};
            }};
  }
  std::mutex mutex_;
  std::string stored_;
  std::atomic<bool> fails_ = false;
};

TEST_F(BudgetBookTest, what_was_used_counts_after_a_restart_and_what_was_under_way_counts_in_full) {
  const auto key = key_with({.tokens_per_minute = 50, .tokens_per_day = 100}, "t");
  const std::map<std::string, UseLimits> tenants = {{"t", {.money_per_month = 1000}}};
  std::shared_ptr<Reservation> held;
  {
    const auto book = BudgetBook::open(storage()).value();
    Budgets budgets(clock_, {1'000'000, 1'000'000}, tenants, book.get());
    budgets.reserve(key, {20, 20}).value()->settle({20, 10});
    held = budgets.reserve(key, {5, 5}).value();
  }
  const auto book = BudgetBook::open(storage()).value();
  Budgets budgets(clock_, {1'000'000, 1'000'000}, tenants, book.get());
  EXPECT_EQ(budgets.tokens_of_minute(key)->remaining, 10);
  EXPECT_EQ(budgets.reserve(key, {20, 1}).error().limit, "tokens_per_minute");
  clock_.advance(60s);  // another day and month
  EXPECT_EQ(budgets.reserve(key, {1, 500}).value()->answer_tokens(), 49);
}

TEST_F(BudgetBookTest, a_new_gateway_over_the_same_book_does_not_begin_anew) {
  const auto book = BudgetBook::open({[] { return std::string(); }, [](const std::string&) { return Status(); }}).value();
  const auto key = key_with({.tokens_per_day = 100});
  Budgets(clock_, {}, {}, book.get()).reserve(key, {50, 40}).value()->settle({50, 40});
  EXPECT_EQ(Budgets(clock_, {}, {}, book.get()).reserve(key, {1, 500}).value()->answer_tokens(), 9);
}

TEST_F(BudgetBookTest, saves_in_the_background_and_again_when_it_could_not) {
  fails_ = true;
  const auto book = BudgetBook::open(storage(), 5).value();
  Budgets budgets(clock_, {}, {}, book.get());
  budgets.reserve(key_with({.tokens_per_day = 100}), {10, 20}).value()->settle({10, 20});
  std::this_thread::sleep_for(30ms);
  fails_ = false;
  const auto is_saved = [&] {
    const std::lock_guard lock(mutex_);
    return stored_.find("\"used\":30") != std::string::npos;
  };
  for (int i = 0; i < 1000 && !is_saved(); ++i) std::this_thread::sleep_for(5ms);
  EXPECT_TRUE(is_saved()) << stored_;
}

TEST_F(BudgetBookTest, what_no_book_saved_is_refused) {
  for (const char* text : {"[]", "{}", R"({"version":2,"accounts":{}})", R"({"version":1,"accounts":{"key k":{"tokens_per_day":{"used":1}}}})", R"({"version":1,"accounts":{"key k":7}})"}) {
    stored_ = text;
    EXPECT_FALSE(BudgetBook::open(storage())) << text;
  }
}

// Show 3: the clock is moved, a day on and two back.
TEST_F(BudgetsTest, a_clock_that_is_set_back_gives_nothing_back) {
  Budgets budgets(clock_, {}, {});
  const auto key = key_with({.tokens_per_day = 100});
  budgets.reserve(key, {40, 20}).value()->settle({40, 20});
  clock_.advance(-24h);
  EXPECT_EQ(budgets.reserve(key, {10, 500}).value()->answer_tokens(), 30);
  auto held = budgets.reserve(key, {10, 10}).value();
  clock_.advance(-24h);
  held->settle({10, 10});
  EXPECT_EQ(budgets.reserve(key, {10, 500}).value()->answer_tokens(), 10);
  clock_.advance(24h);  // a day that is new to it
  EXPECT_EQ(budgets.reserve(key, {10, 500}).value()->answer_tokens(), 90);
}

}  // namespace
}  // namespace redoubt::gateway
