// SPDX-License-Identifier: Apache-2.0
#include "gateway/worker.h"

#include <gtest/gtest.h>

#include <cstring>
#include <future>

#include "gateway/testing_worker.h"

namespace redoubt::gateway {
namespace {

using namespace std::chrono_literals;

struct Outcome {
  std::string text;
  std::optional<GenerateEnd> end;
  std::optional<Error> error;
};

class Recorder final : public GenerateListener {
 public:
  bool forget() override {
    if (!forgets) return false;
    outcome_.text.clear();
    return true;
  }
  void on_started(int) override {}
  void on_token(const Piece& piece) override {
    if (!std::exchange(started_, true)) first_.set_value();
    outcome_.text += piece.text;
  }
  void on_done(const GenerateEnd& end) override {
    outcome_.end = end;
    finished_.set_value(outcome_);
  }
  void on_error(const Error& error) override {
    outcome_.error = error;
    finished_.set_value(outcome_);
  }
  Outcome wait() {
    auto future = finished_.get_future();
    if (future.wait_for(30s) != std::future_status::ready) return {.text = "timeout", .end = {}, .error = {}};
    return future.get();
  }
  void wait_first() { first_.get_future().wait_for(30s); }
  bool forgets = false;  // as one whose client has seen nothing

 private:
  Outcome outcome_;
  bool started_ = false;
  std::promise<Outcome> finished_;
  std::promise<void> first_;
};

void until(const std::function<bool()>& is_so) {
  for (int i = 0; i < 2000 && !is_so(); ++i) std::this_thread::sleep_for(5ms);
  EXPECT_TRUE(is_so());
}

class WorkerPoolTest : public ::testing::Test {
 protected:
  void start(WorkerPoolOptions options = {}) {
    options.restart_ms = 10;
    pool_ = WorkerPool::create(reactor_, testing::scripted_workers(log_), options);
    ASSERT_TRUE(pool_->wait_ready(20s));
  }
  std::shared_ptr<Recorder> ask(const std::string& prompt, const std::string& payer = "", int max_tokens = 512) {
    auto recorder = std::make_shared<Recorder>();
    GenerateRequest request;
    request.prompt = prompt;
    request.payer = payer;
    request.max_tokens = max_tokens;
    request.scope = "key";
    auto id = pool_->generate(std::move(request), recorder);
    EXPECT_TRUE(id) << id.error().message;
    last_id_ = id.value_or(0);
    return recorder;
  }
  std::shared_ptr<http::Reactor> reactor_ = http::Reactor::create().value();
  std::shared_ptr<testing::WorkerLog> log_ = std::make_shared<testing::WorkerLog>();
  std::shared_ptr<WorkerPool> pool_;
  std::uint64_t last_id_ = 0;
};

struct TextRecorder final : GenerateListener {
  bool forget() override { return texts.clear(), true; }
  void on_started(int) override {}
  void on_token(const Piece&) override {}
  void on_text(const TextRead& text) override { texts.push_back(text); }
  void on_done(const GenerateEnd& end) override { finished.set_value(end.prompt_tokens); }
  void on_error(const Error& error) override {
    failed = error;
    finished.set_value(-1);
  }
  int wait() {
    auto future = finished.get_future();
    return future.wait_for(30s) == std::future_status::ready ? future.get() : -2;
  }
  std::vector<TextRead> texts;
  std::optional<Error> failed;
  std::promise<int> finished;
};

std::shared_ptr<TextRecorder> read(WorkerPool& pool, std::vector<openai::TextInput> texts, const std::string& payer = "") {
  auto recorder = std::make_shared<TextRecorder>();
  GenerateRequest request;
  request.texts = std::move(texts);
  request.payer = payer;
  EXPECT_TRUE(pool.generate(std::move(request), recorder));
  return recorder;
}

TEST_F(WorkerPoolTest, texts_are_read_beside_slots_that_are_all_taken) {
  log_->slots = 1;
  start();
  auto slow = ask("slow", "", 100'000);
  slow->wait_first();
  const auto reader = read(*pool_, {{"four", {}}, {"", {1, 2, 3}}});
  EXPECT_EQ(reader->wait(), 10);
  ASSERT_EQ(reader->texts.size(), 2u);
  const auto bytes = from_base64(reader->texts[1].embedding).value();
  float first;
  std::memcpy(&first, bytes.data(), sizeof first);
  EXPECT_EQ(first, 3);
  EXPECT_EQ(pool_->state().embedding_length, testing::kEmbeddingLength);
  EXPECT_EQ(pool_->state().running, 1);
  pool_->cancel(last_id_);
}

TEST_F(WorkerPoolTest, texts_of_a_lost_worker_are_read_again_by_another) {
  log_->deaths_left = 1;
  start();
  const auto reader = read(*pool_, {{"first", {}}, {"die", {}}});
  EXPECT_EQ(reader->wait(), 14);
  EXPECT_EQ(reader->texts.size(), 2u);
  EXPECT_EQ(log_->reads, 2);
}

TEST_F(WorkerPoolTest, an_engine_that_reads_no_texts_is_sent_none) {
  log_->is_old = true;
  start({.queue_ms_max = 200});
  const auto reader = read(*pool_, {{"a", {}}});
  EXPECT_EQ(reader->wait(), -1);
  EXPECT_EQ(log_->reads, 0);
}

TEST_F(WorkerPoolTest, an_answer_comes_token_by_token) {
  start();
  auto outcome = ask("a b c")->wait();
  EXPECT_EQ(outcome.text, "a b c ");
  ASSERT_TRUE(outcome.end);
  EXPECT_EQ(outcome.end->finish_reason, "stop");
  EXPECT_EQ(outcome.end->completion_tokens, 3);
}

TEST_F(WorkerPoolTest, an_engine_of_an_older_image_is_not_told_of_scopes) {
  start();
  EXPECT_EQ(Json::parse(ask("fields")->wait().text)["scope"], "key");
  EXPECT_EQ(pool_->state().adapters, std::vector<std::string>{"tuned"});
  log_->is_old = true;
  start();
  EXPECT_FALSE(Json::parse(ask("fields")->wait().text).contains("scope"));
  EXPECT_TRUE(pool_->state().adapters.empty());
}

TEST_F(WorkerPoolTest, one_payers_flood_does_not_keep_another_waiting) {
  start({.queue_max = 6});
  std::vector<std::shared_ptr<Recorder>> flood;
  for (int i = 0; i < 10; ++i) flood.push_back(ask("slow", "flood", 20));  // four have the slots, six wait
  GenerateRequest more;
  more.payer = "flood";
  EXPECT_FALSE(pool_->generate(more, std::make_shared<Recorder>()));
  const auto other = ask("slow", "other", 1);  // the queue is full: the flood's newest gives way
  EXPECT_EQ(flood.back()->wait().error->code, ErrorCode::unavailable);
  EXPECT_TRUE(other->wait().end);
  EXPECT_GE(pool_->state().queued, 1);
  for (int i = 0; i < 9; ++i) EXPECT_TRUE(flood[static_cast<std::size_t>(i)]->wait().end);
}

TEST_F(WorkerPoolTest, one_payers_flood_of_texts_does_not_keep_anothers_out) {
  start({.queue_max = 3});
  std::vector<std::shared_ptr<TextRecorder>> flood;
  for (int i = 0; i < 11; ++i) flood.push_back(read(*pool_, {{"hang", {}}}, "flood"));  // eight are being read, three wait
  const auto other = read(*pool_, {{"four", {}}}, "other");
  EXPECT_EQ(flood.back()->wait(), -1);
  EXPECT_EQ(flood.back()->failed->code, ErrorCode::unavailable);
  EXPECT_EQ(pool_->state().queued, 3);
  pool_.reset();
  EXPECT_EQ(other->wait(), -1);
}

TEST_F(WorkerPoolTest, many_requests_at_once_are_kept_apart) {
  start({.workers = 2, .queue_max = 200});
  std::vector<std::shared_ptr<Recorder>> recorders;
  for (int i = 0; i < 100; ++i) recorders.push_back(ask("request " + std::to_string(i)));
  for (int i = 0; i < 100; ++i)
    EXPECT_EQ(recorders[static_cast<std::size_t>(i)]->wait().text, "request " + std::to_string(i) + " ");
  EXPECT_TRUE(pool_->drain(10s));
}

TEST_F(WorkerPoolTest, a_request_of_a_worker_that_dies_early_is_tried_once_more) {
  start();
  log_->deaths_left = 1;
  EXPECT_EQ(ask("die")->wait().text, "die ");
  EXPECT_EQ(log_->started, 2);
}

TEST_F(WorkerPoolTest, a_request_that_kills_two_workers_ends_with_an_error) {
  start();
  auto outcome = ask("die")->wait();
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(outcome.error->code, ErrorCode::unavailable);
}

TEST_F(WorkerPoolTest, a_request_of_which_something_was_handed_on_is_not_repeated) {
  start();
  auto outcome = ask("half")->wait();
  EXPECT_EQ(outcome.text, "half ");
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(log_->generates, 1);
  EXPECT_TRUE(pool_->wait_ready(20s));
}

// Show 3: of 200 streams those on the killed worker that nobody has seen anything of are answered all the same, the others end at once, and
// those of the other workers go on.
TEST_F(WorkerPoolTest, a_worker_killed_under_200_streams_loses_only_what_was_seen) {
  log_->slots = 100;
  start({.workers = 3, .queue_max = 200});
  for (int i = 0; i < 1000 && pool_->state().workers_ready < 3; ++i) std::this_thread::sleep_for(5ms);
  std::vector<std::shared_ptr<Recorder>> seen, unseen;
  for (int i = 0; i < 200; ++i) {
    auto& group = i % 2 == 0 ? seen : unseen;
    group.push_back(ask("slow", "", 60));
    group.back()->forgets = i % 2 == 1;
  }
  for (const auto& one : seen) one->wait_first();
  log_->kill_first = true;
  int broken = 0;
  for (const auto& one : seen) broken += one->wait().error.has_value();
  EXPECT_GT(broken, 10);
  EXPECT_LT(broken, 60);
  for (const auto& one : unseen) {
    const auto outcome = one->wait();
    ASSERT_TRUE(outcome.end);
    EXPECT_EQ(outcome.text.size(), 120);  // nothing twice
  }
  EXPECT_TRUE(pool_->drain(20s));
}

TEST_F(WorkerPoolTest, a_worker_that_sends_junk_is_replaced) {
  start();
  EXPECT_TRUE(ask("junk")->wait().error);
  ASSERT_TRUE(pool_->wait_ready(20s));
  EXPECT_EQ(ask("well")->wait().text, "well ");
}

TEST_F(WorkerPoolTest, a_worker_that_answers_no_ping_is_replaced) {
  start({.ping_ms = 20, .pong_ms_max = 200});
  EXPECT_TRUE(ask("freeze")->wait().error);
  EXPECT_GE(log_->started, 2);
}

TEST_F(WorkerPoolTest, a_worker_that_falls_silent_on_a_request_is_replaced) {
  start({.silence_ms_max = 200});
  EXPECT_TRUE(ask("hang")->wait().error);
  EXPECT_GE(log_->started, 2);
}

TEST_F(WorkerPoolTest, cancelling_tells_the_worker_and_frees_the_slot) {
  start();
  auto recorder = ask("slow");
  recorder->wait_first();
  pool_->cancel(last_id_);
  EXPECT_TRUE(pool_->drain(20s));
  EXPECT_EQ(log_->cancels, 1);
  EXPECT_EQ(pool_->state().running, 0);
  const auto outcome = recorder->wait();  // how much was made is told all the same
  ASSERT_TRUE(outcome.end);
  EXPECT_EQ(outcome.end->finish_reason, "cancelled");
}

TEST_F(WorkerPoolTest, a_full_queue_refuses_and_a_queued_request_can_be_cancelled) {
  start({.queue_max = 1});
  std::vector<std::uint64_t> running;
  for (int i = 0; i < 4; ++i) ask("slow"), running.push_back(last_id_);
  ask("queued");
  auto refused = pool_->generate({}, std::make_shared<Recorder>());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::limit_exceeded);
  pool_->cancel(last_id_);
  EXPECT_EQ(pool_->state().queued, 0);
  for (auto id : running) pool_->cancel(id);
  EXPECT_TRUE(pool_->drain(20s));
}

TEST_F(WorkerPoolTest, a_request_that_waits_or_runs_too_long_ends_with_an_error) {
  start({.request_ms_max = 200});
  EXPECT_TRUE(ask("slow")->wait().error);
  EXPECT_TRUE(pool_->drain(20s));
  EXPECT_EQ(log_->cancels, 1);
}

TEST_F(WorkerPoolTest, an_error_of_the_engine_is_handed_on) {
  start();
  EXPECT_EQ(ask("fail")->wait().error->code, ErrorCode::unavailable);
  EXPECT_EQ(ask("long")->wait().error->code, ErrorCode::limit_exceeded);
  EXPECT_EQ(ask("odd")->wait().error->code, ErrorCode::invalid_argument);
}

TEST_F(WorkerPoolTest, without_a_worker_requests_are_refused) {
  auto pool = WorkerPool::create(reactor_, []() -> Result<WorkerProcess> { return fail(ErrorCode::unavailable, "no image"); },
                                 {.restart_ms = 10});
  EXPECT_FALSE(pool->wait_ready(100ms));
  EXPECT_EQ(pool->last_failure()->message, "no image");
  EXPECT_EQ(pool->generate({}, std::make_shared<Recorder>()).error().code, ErrorCode::unavailable);
}

TEST_F(WorkerPoolTest, a_request_that_comes_while_the_only_worker_is_replaced_waits_for_the_next) {
  start();
  log_->ready_after_ms = 500;
  log_->deaths_left = 1;
  ask("die");
  until([&] { return pool_->state().restarts == 1; });
  EXPECT_FALSE(pool_->state().can_answer);  // a load balancer would choose another endpoint
  EXPECT_EQ(ask("well")->wait().text, "well ");
}

TEST_F(WorkerPoolTest, nobody_waits_for_a_worker_whose_start_fails) {
  std::atomic<bool> stuck = false;
  auto factory = testing::scripted_workers(log_);
  pool_ = WorkerPool::create(reactor_, [&, factory]() -> Result<WorkerProcess> { return stuck ? fail(ErrorCode::unavailable, "no memory") : factory(); }, {.restart_ms = 10});
  ASSERT_TRUE(pool_->wait_ready(20s));
  stuck = true;
  log_->deaths_left = 1;
  ask("die");
  until([&] { return pool_->state().restarts >= 2; });
  EXPECT_EQ(pool_->generate({}, std::make_shared<Recorder>()).error().code, ErrorCode::unavailable);
}

ScaleOptions scale_of(const char* text) { return ScaleOptions::from_json(Json::parse(text)).value(); }

TEST_F(WorkerPoolTest, workers_come_and_go_with_the_load_and_no_request_is_lost) {
  start({.scale = scale_of(R"({"min": 1, "max": 3, "requests": 4, "scale_in_s": 0})")});
  EXPECT_EQ(pool_->state().workers, 1);
  std::vector<std::shared_ptr<Recorder>> recorders;
  for (int i = 0; i < 12; ++i) recorders.push_back(ask("slow", "", 100));
  until([&] { return pool_->state().workers_ready == 3; });
  for (const auto& one : recorders) EXPECT_EQ(one->wait().text.size(), 200);
  until([&] { return pool_->state().workers_ready == 1 && pool_->state().workers == 1; });
  EXPECT_EQ(ask("well")->wait().text, "well ");
  EXPECT_EQ(pool_->state().restarts, 0);  // none of them failed
  EXPECT_EQ(pool_->last_failure(), std::nullopt);
}

TEST_F(WorkerPoolTest, a_worker_that_is_no_longer_needed_ends_its_requests_first) {
  log_->slots = 1;
  start({.scale = scale_of(R"({"min": 0, "max": 2, "requests": 2, "scale_in_s": 0})")});
  const auto one = ask("slow", "", 100), other = ask("slow", "", 100);
  ask("slow");
  until([&] { return pool_->state().running == 2; });
  pool_->cancel(last_id_);  // two requests are left, for which one worker is enough
  until([&] { return pool_->state().workers == 1; });
  EXPECT_EQ(pool_->state().running, 2);
  EXPECT_EQ(one->wait().text.size(), 200);
  EXPECT_EQ(other->wait().text.size(), 200);
  until([&] { return log_->ended == log_->started; });
}

TEST_F(WorkerPoolTest, the_first_request_after_a_while_waits_for_a_start) {
  start({.scale = scale_of(R"({"min": 0, "max": 1, "scale_in_s": 0, "start_s_max": 20})")});
  until([&] { return pool_->state().workers == 0 && log_->ended == 1; });
  EXPECT_TRUE(pool_->state().can_answer);
  EXPECT_EQ(pool_->state().context_length, 2048);  // as it was
  EXPECT_EQ(ask("well")->wait().text, "well ");
  EXPECT_EQ(log_->started, 2);
}

// Asks once, as soon as no worker is wanted any more: in the same turn in which the pool lets the last one go.
struct AsksTheDismissed final : http::Reactor::Member {
  AsksTheDismissed(WorkerPool& asked, std::function<void()> how) : pool(asked), ask(std::move(how)) {}
  void on_events(std::uint64_t, std::uint32_t) override {}
  bool on_turn() override {
    if (pool.state().workers == 0 && !asked_it.exchange(true)) ask();
    return false;
  }
  WorkerPool& pool;
  const std::function<void()> ask;
  std::atomic<bool> asked_it = false;
};

TEST_F(WorkerPoolTest, a_request_that_comes_while_an_idle_worker_is_dismissed_is_no_failure) {
  start({.scale = scale_of(R"({"min": 0, "max": 1, "scale_in_s": 0, "start_s_max": 20})")});
  std::shared_ptr<Recorder> recorder;
  AsksTheDismissed asker(*pool_, [&] { recorder = ask("well"); });
  std::uint64_t first = 0;
  reactor_->call([&] { first = reactor_->join(asker); });
  until([&] { return asker.asked_it.load(); });
  reactor_->leave(first);
  EXPECT_EQ(recorder->wait().text, "well ");
  EXPECT_EQ(pool_->state().restarts, 0);
  EXPECT_EQ(pool_->last_failure(), std::nullopt);
  EXPECT_EQ(log_->generates, 1);
}

TEST_F(WorkerPoolTest, a_worker_that_dies_after_an_idle_one_was_dismissed_is_a_failure) {
  start({.scale = scale_of(R"({"min": 0, "max": 1, "scale_in_s": 0, "start_s_max": 20})")});
  until([&] { return pool_->state().workers == 0 && log_->ended == 1; });
  log_->deaths_left = 1;
  EXPECT_EQ(ask("die")->wait().text, "die ");
  EXPECT_EQ(pool_->state().restarts, 1);
}

TEST_F(WorkerPoolTest, who_waited_for_a_start_waits_for_a_slot_from_then_on) {
  log_->slots = 1;
  start({.scale = scale_of(R"({"min": 0, "max": 1, "scale_in_s": 0, "start_s_max": 20})"), .queue_ms_max = 400});
  until([&] { return pool_->state().workers == 0 && log_->ended == 1; });
  log_->ready_after_ms = 800;  // longer than a slot is waited for
  const auto first = ask("slow", "", 10), second = ask("well");
  EXPECT_TRUE(first->wait().end);
  EXPECT_EQ(second->wait().text, "well ");
  const auto endless = ask("slow", "", 100'000), third = ask("well");
  EXPECT_EQ(third->wait().error->code, ErrorCode::unavailable);
}

TEST_F(WorkerPoolTest, a_first_worker_is_not_idle_before_it_is_ready) {
  log_->ready_after_ms = 500;  // longer than it would be kept without a request
  start({.scale = scale_of(R"({"min": 0, "max": 2, "requests": 2, "scale_in_s": 0})")});
  EXPECT_EQ(log_->started, 1);
  until([&] { return pool_->state().workers == 0 && log_->ended == 1; });
}

TEST_F(WorkerPoolTest, a_start_that_does_not_come_ends_the_wait) {
  std::atomic<bool> stuck = false;
  auto factory = testing::scripted_workers(log_);
  pool_ = WorkerPool::create(reactor_, [&, factory]() -> Result<WorkerProcess> { return stuck ? fail(ErrorCode::unavailable, "no memory") : factory(); },
                             {.scale = scale_of(R"({"min": 0, "max": 1, "scale_in_s": 0, "start_s_max": 1})"), .queue_ms_max = 100, .restart_ms = 10});
  ASSERT_TRUE(pool_->wait_ready(20s));
  until([&] { return pool_->state().workers == 0 && log_->ended == 1; });
  stuck = true;
  EXPECT_EQ(ask("well")->wait().error->code, ErrorCode::unavailable);
  EXPECT_FALSE(pool_->generate({}, std::make_shared<Recorder>()));  // it is known to fail by now
  stuck = false;
  until([&] { return pool_->state().can_answer; });
  EXPECT_EQ(ask("well")->wait().text, "well ");
}

TEST_F(WorkerPoolTest, a_queue_that_is_too_slow_sheds_who_waits_already) {
  log_->slots = 1;
  start({.queue_max = 1'000, .queue_ms_max = 2'000});
  for (int i = 0; i < 5; ++i) ask("slow", "", 10)->wait();  // 100 ms each at least
  std::vector<std::shared_ptr<Recorder>> recorders;
  GenerateRequest more;
  more.prompt = "slow";
  more.payer = "a";
  more.max_tokens = 10;
  Error refused{ErrorCode::internal, "", ""};
  for (int i = 0; i < 900 && refused.code == ErrorCode::internal; ++i) {
    recorders.push_back(std::make_shared<Recorder>());
    if (auto id = pool_->generate(more, recorders.back()); !id) refused = id.error();
  }
  EXPECT_EQ(refused.code, ErrorCode::limit_exceeded);
  EXPECT_GT(recorders.size(), 2u);
  EXPECT_LT(recorders.size(), 30u);
  EXPECT_GT(pool_->state().expected_wait_ms, 2'000);
  EXPECT_TRUE(ask("slow", "b", 1)->wait().end);  // who waits for nothing yet may
  EXPECT_TRUE(recorders.front()->wait().end);
  EXPECT_TRUE(pool_->drain(20s));
}

// They share a thread with all others, and with the server's clients.
TEST_F(WorkerPoolTest, a_worker_that_reads_nothing_holds_up_nobody) {
  start({.workers = 2, .queue_max = 200, .ping_ms = 50, .pong_ms_max = 10'000});
  until([&] { return pool_->state().workers_ready == 2; });
  log_->stays_frozen = true;
  const auto frozen = ask("freeze");
  std::vector<std::shared_ptr<Recorder>> large;
  for (int i = 0; i < 6; ++i) large.push_back(ask("a " + std::string(1 << 20, 'x'), "large"));  // more than a socket takes
  for (int i = 0; i < 100; ++i) ASSERT_EQ(ask("well", "other")->wait().text, "well ");
  reactor_->call([] {});
  log_->stays_frozen = false;
  for (const auto& one : large) (void)one->wait();
  EXPECT_TRUE(frozen->wait().error);
  EXPECT_TRUE(pool_->drain(20s));
}

class Slow final : public GenerateListener {
 public:
  void on_started(int) override {}
  void on_token(const Piece& piece) override {
    std::this_thread::sleep_for(5ms);
    text += piece.text;
  }
  void on_done(const GenerateEnd&) override { finished.set_value(text); }
  void on_error(const Error&) override { finished.set_value("failed"); }
  std::string text;
  std::promise<std::string> finished;
};

TEST_F(WorkerPoolTest, a_listener_that_takes_long_holds_up_no_other_worker_and_hears_all_in_order) {
  start({.workers = 2});
  until([&] { return pool_->state().workers_ready == 2; });
  std::string many, heard;
  for (int i = 0; i < 200; ++i) heard += std::to_string(i) + " ";
  many = heard.substr(0, heard.size() - 1);
  const auto slow = std::make_shared<Slow>();
  GenerateRequest request;
  request.prompt = many;
  ASSERT_TRUE(pool_->generate(std::move(request), slow));
  auto future = slow->finished.get_future();
  int calls = 0;  // of the reactor while it hears, which takes a second in all
  for (; future.wait_for(1ms) != std::future_status::ready; ++calls) reactor_->call([] {});
  EXPECT_EQ(future.get(), heard);
  EXPECT_GT(calls, 5);
  EXPECT_EQ(ask("well")->wait().text, "well ");
}

TEST_F(WorkerPoolTest, the_last_who_holds_a_pool_may_let_go_of_it_on_the_reactors_thread) {
  start();
  auto recorder = ask("slow");
  recorder->wait_first();
  reactor_->call([&] { pool_.reset(); });
  EXPECT_TRUE(recorder->wait().error);
  until([&] { return log_->ended == log_->started; });
}

TEST_F(WorkerPoolTest, dropping_the_pool_ends_what_is_under_way) {
  start();
  auto recorder = ask("slow");
  recorder->wait_first();
  pool_.reset();
  EXPECT_TRUE(recorder->wait().error);
}

}  // namespace
}  // namespace redoubt::gateway
