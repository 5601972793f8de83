// SPDX-License-Identifier: Apache-2.0
//
// A thread that waits with epoll for all descriptors of its members, servers and others: what they hand to one another needs no change of
// threads.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "http/bell.h"

namespace redoubt::http {

class Reactor {
 public:
  // Called on the reactor's thread, and must return soon: meanwhile no other member is served.
  class Member {
   public:
    virtual ~Member() = default;
    // What epoll tells of the descriptor with this number; 0 where it was rung for.
    virtual void on_events(std::uint64_t id, std::uint32_t events) = 0;
    // Once each turn, before it is waited for events, at least every kTick. True: there is more to do, so that it is not waited.
    virtual bool on_turn() = 0;
  };
  static constexpr auto kTick = std::chrono::milliseconds(100);

  static Result<std::shared_ptr<Reactor>> create();
  // Not on its own thread, and once all members have left.
  ~Reactor();

  // The first of the numbers that are the member's own: it may give its descriptors this one and the 2^40 that follow.
  std::uint64_t join(Member& member);
  // Nothing is called any more once this returns. From any thread, a member's own call too.
  void leave(std::uint64_t first);
  // Runs it between two turns and waits until it is done; at once on the reactor's thread.
  void call(const std::function<void()>& work);
  bool is_here() const { return std::this_thread::get_id() == thread_.get_id(); }

  // As epoll_ctl, from any thread. A descriptor that is closed is no longer watched.
  void watch(int operation, int fd, std::uint64_t id, std::uint32_t events) const;
  // From any thread: the member is called for this number.
  void ring(std::uint64_t id) const { bell_->ring(id); }
  const std::shared_ptr<detail::Bell>& bell() const { return bell_; }
  // When the present turn began, for members.
  const std::chrono::steady_clock::time_point& now() const { return now_; }

 private:
  struct Call {
    const std::function<void()>* work;
    bool is_done = false;
  };
  Reactor(std::shared_ptr<detail::Bell> bell, Fd epoll);
  void run();
  void turn();
  void work_off_calls();
  void tell(std::uint64_t id, std::uint32_t events);

  const std::shared_ptr<detail::Bell> bell_;
  const Fd epoll_;
  std::chrono::steady_clock::time_point now_{};
  std::vector<Member*> members_ = {nullptr};  // by number; null once one has left
  std::vector<std::uint64_t> rung_;
  std::atomic<bool> stopping_ = false, is_called_ = false;
  std::mutex mutex_;  // guards calls_ and what is in them
  std::condition_variable changed_;
  std::deque<Call*> calls_;
  std::thread thread_;
};

}  // namespace redoubt::http
