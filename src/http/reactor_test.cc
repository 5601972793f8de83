// SPDX-License-Identifier: Apache-2.0
#include "http/reactor.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>

namespace redoubt::http {
namespace {

using namespace std::chrono_literals;

class Counting final : public Reactor::Member {
 public:
  void on_events(std::uint64_t id, std::uint32_t events) override {
    std::lock_guard lock(mutex);
    told.emplace_back(id - first, events);
    if (then) then();
  }
  bool on_turn() override {
    ++turns;
    return is_busy;
  }
  std::vector<std::pair<std::uint64_t, std::uint32_t>> all() {
    std::lock_guard lock(mutex);
    return told;
  }
  std::uint64_t first = 0;
  std::atomic<int> turns = 0;
  std::atomic<bool> is_busy = false;
  std::function<void()> then;
  std::mutex mutex;
  std::vector<std::pair<std::uint64_t, std::uint32_t>> told;
};

class ReactorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    a_.first = reactor_->join(a_);
    b_.first = reactor_->join(b_);
  }
  void TearDown() override {
    reactor_->leave(a_.first);
    reactor_->leave(b_.first);
  }
  static bool until(const std::function<bool()>& is_so) {
    for (int i = 0; i < 2000 && !is_so(); ++i) std::this_thread::sleep_for(1ms);
    return is_so();
  }
  std::shared_ptr<Reactor> reactor_ = Reactor::create().value();
  Counting a_, b_;
};

TEST_F(ReactorTest, each_member_hears_of_its_own) {
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  const Fd ours(pair[0]), theirs(pair[1]);
  reactor_->watch(EPOLL_CTL_ADD, ours.get(), b_.first + 7, EPOLLIN | EPOLLET);
  ASSERT_EQ(write(theirs.get(), "x", 1), 1);
  EXPECT_TRUE(until([&] { return !b_.all().empty(); }));
  reactor_->ring(a_.first + 3);
  EXPECT_TRUE(until([&] { return !a_.all().empty(); }));
  EXPECT_EQ(a_.all(), (std::vector<std::pair<std::uint64_t, std::uint32_t>>{{3, 0}}));
  EXPECT_EQ(b_.all(), (std::vector<std::pair<std::uint64_t, std::uint32_t>>{{7, EPOLLIN}}));
}

TEST_F(ReactorTest, a_ring_wakes_it_at_once_and_a_turn_comes_every_tick) {
  const auto begun = std::chrono::steady_clock::now();
  for (int i = 0; i < 50; ++i) {
    reactor_->ring(a_.first + static_cast<std::uint64_t>(i));
    ASSERT_TRUE(until([&] { return a_.all().size() > static_cast<std::size_t>(i); }));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 50 * Reactor::kTick / 2);
  const int turns = a_.turns;
  EXPECT_TRUE(until([&] { return a_.turns > turns + 2; }));
}

TEST_F(ReactorTest, who_has_more_to_do_is_called_without_a_wait) {
  a_.is_busy = true;
  const int turns = b_.turns;
  EXPECT_TRUE(until([&] { return b_.turns > turns + 1000; }));
}

TEST_F(ReactorTest, calls_are_done_on_its_thread_whoever_makes_them) {
  bool is_here = false, is_nested = false;
  reactor_->call([&] {
    is_here = reactor_->is_here();
    reactor_->call([&] { is_nested = true; });
  });
  EXPECT_TRUE(is_here && is_nested);
  EXPECT_FALSE(reactor_->is_here());
  std::atomic<int> done = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&] {
      for (int k = 0; k < 100; ++k) reactor_->call([&] { ++done; });
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(done, 800);
}

TEST_F(ReactorTest, who_has_left_hears_nothing_even_if_it_left_in_a_call_of_its_own) {
  a_.then = [&] { reactor_->leave(a_.first); };
  reactor_->ring(a_.first + 1);
  reactor_->ring(a_.first + 2);
  reactor_->ring(b_.first);
  EXPECT_TRUE(until([&] { return !b_.all().empty(); }));
  EXPECT_EQ(a_.all().size(), 1u);
  reactor_->leave(b_.first);
  reactor_->ring(b_.first);
  reactor_->call([] {});
  EXPECT_EQ(b_.all().size(), 1u);
}

}  // namespace
}  // namespace redoubt::http
