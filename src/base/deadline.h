// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace redoubt {

// Calls `missed` once, by a thread of its own, unless it is gone before that time has passed. Its end waits for a call that has begun.
class Deadline {
 public:
  Deadline(std::chrono::milliseconds time, std::function<void()> missed) : missed_(std::move(missed)), thread_([this, time] { wait(time); }) {}
  ~Deadline() {
    {
      const std::scoped_lock lock(mutex_);
      met_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

 private:
  void wait(std::chrono::milliseconds time) {
    std::unique_lock lock(mutex_);
    if (changed_.wait_for(lock, time, [this] { return met_; })) return;
    lock.unlock();
    missed_();
  }

  const std::function<void()> missed_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool met_ = false;
  std::thread thread_;  // uses what stands above it
};

}  // namespace redoubt
