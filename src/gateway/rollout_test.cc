// SPDX-License-Identifier: Apache-2.0
#include "gateway/rollout.h"

#include <gtest/gtest.h>

#include "gateway/request_run.h"
#include "gateway/testing_worker.h"

namespace redoubt::gateway {
namespace {

using namespace std::chrono_literals;

class RolloutTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(router_.activate(release("1"))); }
  Release release(const std::string& version) {
    auto pool = WorkerPool::create(reactor_, testing::scripted_workers(log_), {.restart_ms = 10});
    EXPECT_TRUE(pool->wait_ready(20s));
    return {"bot", version, {}, std::move(pool)};
  }
  int chosen_of(int count, const std::string& version, const std::string& model = "bot") {
    int chosen = 0;
    for (int i = 0; i < count; ++i) chosen += router_.choose(model).release->version == version;
    return chosen;
  }
  static RolloutPlan plan_of(const char* text) { return RolloutPlan::from_json(Json::parse(text)).value(); }

  std::shared_ptr<http::Reactor> reactor_ = http::Reactor::create().value();
  std::shared_ptr<testing::WorkerLog> log_ = std::make_shared<testing::WorkerLog>();
  Router router_;
};

TEST_F(RolloutTest, a_share_is_a_steady_mixture) {
  ASSERT_TRUE(router_.begin_trial(release("2"), Trial::share, 30));
  for (int i = 0; i < 10; ++i) EXPECT_EQ(chosen_of(10, "2"), 3);
  router_.set_share(100);
  EXPECT_EQ(chosen_of(10, "2"), 10);
  EXPECT_EQ(router_.begin_trial(release("3"), Trial::share, 1).error().code, ErrorCode::already_exists);
}

TEST_F(RolloutTest, a_version_that_is_named_is_that_version) {
  ASSERT_TRUE(router_.begin_trial(release("2"), Trial::share, 50));
  EXPECT_EQ(chosen_of(10, "1", "bot/1"), 10);
  EXPECT_EQ(chosen_of(10, "2", "bot/2"), 10);
  EXPECT_EQ(chosen_of(10, "1", "nothing"), 10);
  EXPECT_EQ(chosen_of(10, "2", "tuned"), 5);  // an adapter that both have
}

TEST_F(RolloutTest, a_shadow_answers_nobody) {
  ASSERT_TRUE(router_.begin_trial(release("2"), Trial::shadow, 50));
  int copies = 0;
  for (int i = 0; i < 10; ++i) {
    const auto choice = router_.choose("bot");
    EXPECT_EQ(choice.release->version, "1");
    copies += choice.shadow != nullptr;
  }
  EXPECT_EQ(copies, 5);
  EXPECT_EQ(router_.choose("bot/2").release->version, "1");
}

TEST_F(RolloutTest, a_canary_ends_by_all_traffic_and_then_for_good) {
  auto rollout = Rollout::begin(plan_of(R"({"kind": "canary", "percent": 10, "wait_s": 0, "bake_s": 0})"), router_, release("2")).value();
  EXPECT_EQ(chosen_of(100, "2"), 10);
  EXPECT_EQ(rollout->due(), Rollout::Due::shift);
  rollout->shift();
  EXPECT_EQ(chosen_of(100, "2"), 100);
  EXPECT_EQ(rollout->due(), Rollout::Due::promote);
  ASSERT_TRUE(rollout->promote());
  EXPECT_EQ(router_.active()->version, "2");
  EXPECT_EQ(router_.previous()->version, "1");
  EXPECT_EQ(rollout->due(), Rollout::Due::nothing);
  rollout->roll_back("too late");
  EXPECT_FALSE(rollout->rolled_back());
}

TEST_F(RolloutTest, blue_green_is_all_traffic_at_once_and_back) {
  auto rollout = Rollout::begin(plan_of(R"({"kind": "blue_green"})"), router_, release("2")).value();
  EXPECT_EQ(chosen_of(10, "2"), 10);
  EXPECT_EQ(rollout->due(), Rollout::Due::nothing);
  rollout->roll_back("DataDrift");
  EXPECT_EQ(chosen_of(10, "1"), 10);
  EXPECT_EQ(*rollout->rolled_back(), "DataDrift");
  EXPECT_FALSE(rollout->promote());
  EXPECT_EQ(router_.active()->version, "1");
}

TEST_F(RolloutTest, an_alarm_takes_the_traffic_back_within_two_seconds) {
  auto rollout = Rollout::begin(plan_of(R"({"kind": "canary", "percent": 50, "errors_max": 2})"), router_, release("2")).value();
  const auto candidate = router_.candidate();
  for (int i = 0; i < 3; ++i) candidate->meter->add_error();
  const auto raised = std::chrono::steady_clock::now();
  while (router_.candidate() && std::chrono::steady_clock::now() - raised < 10s) std::this_thread::sleep_for(1ms);
  EXPECT_LT(std::chrono::steady_clock::now() - raised, 2s);
  EXPECT_EQ(chosen_of(10, "1"), 10);
  EXPECT_NE(rollout->rolled_back()->find("InvocationErrors"), std::string::npos);
}

TEST_F(RolloutTest, a_worker_of_the_candidate_that_dies_is_an_alarm) {
  auto rollout = Rollout::begin(plan_of(R"({"kind": "shadow", "percent": 100})"), router_, release("2")).value();
  log_->kill_first = true;  // of both releases, so perhaps the other's
  for (int i = 0; i < 40 && !rollout->rolled_back(); ++i) {
    std::this_thread::sleep_for(50ms);
    log_->kill_first = true;
  }
  EXPECT_TRUE(rollout->rolled_back());
}

struct Unheard final : GenerateListener {
  void on_started(int) override {}
  void on_token(const Piece&) override {}
  void on_done(const GenerateEnd&) override {}
  void on_error(const Error&) override {}
};

TEST_F(RolloutTest, who_gives_way_to_others_is_no_failure_of_the_candidate) {
  log_->slots = 1;
  auto pool = WorkerPool::create(reactor_, testing::scripted_workers(log_), {.queue_max = 2});
  ASSERT_TRUE(pool->wait_ready(20s));
  const Release tried{"bot", "2", {}, pool};
  GenerateRequest request;
  request.prompt = "slow";
  request.max_tokens = 100'000;
  for (int i = 0; i < 3; ++i) copy_to(tried, request, nullptr);  // one has the slot, two wait
  request.payer = "other";
  ASSERT_TRUE(pool->generate(request, std::make_shared<Unheard>()));
  EXPECT_EQ(pool->state().queued, 2);
  EXPECT_EQ(tried.meter->read().errors, 0u);
}

TEST(RolloutAlarms, each_has_its_limit) {
  const auto plan = RolloutPlan::from_json(Json::parse(R"({"kind": "canary", "errors_max": 1, "latency_p99_ms_max": 100, "guard_hits_max": 2, "worker_failures_max": 1})")).value();
  EXPECT_FALSE(alarm_of(plan, {100, 1, 2, 100}, 1));
  EXPECT_TRUE(alarm_of(plan, {100, 2, 0, 0}, 0)->starts_with("InvocationErrors"));
  EXPECT_TRUE(alarm_of(plan, {100, 0, 3, 0}, 0)->starts_with("GuardHits"));
  EXPECT_TRUE(alarm_of(plan, {20, 0, 0, 101}, 0)->starts_with("LatencyP99"));
  EXPECT_FALSE(alarm_of(plan, {19, 0, 0, 101}, 0));
  EXPECT_TRUE(alarm_of(plan, {100, 0, 0, 0}, 2)->starts_with("WorkerFailures"));
}

TEST(RolloutPlan, what_is_wrong_is_named) {
  const auto plan = RolloutPlan::from_json(Json::parse(R"({"kind": "shadow", "percent": 7})")).value();
  EXPECT_EQ(RolloutPlan::from_json(plan.to_json())->to_json(), plan.to_json());
  for (const char* text : {"{}", R"({"kind": "linear"})", R"({"kind": "canary", "percent": 0})", R"({"kind": "canary", "percent": 101})", R"({"kind": "canary", "steps": 2})", R"({"kind": "canary", "bake_s": -1})",
                           R"({"kind": "canary", "latency_p99_ms_max": -1})"})
    EXPECT_EQ(RolloutPlan::from_json(Json::parse(text)).error().code, ErrorCode::invalid_argument) << text;
}

TEST(ReleaseMeter, the_percentile_is_of_answers_alone) {
  ReleaseMeter meter;
  for (int i = 1; i <= 100; ++i) meter.add_answer(i);
  meter.add_error();
  meter.add_guard_hit();
  const auto reading = meter.read();
  EXPECT_EQ(reading.answers, 100u);
  EXPECT_EQ(reading.errors, 1u);
  EXPECT_EQ(reading.guard_hits, 1u);
  EXPECT_EQ(reading.latency_p99_ms, 99);
}

}  // namespace
}  // namespace redoubt::gateway
