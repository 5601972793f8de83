// SPDX-License-Identifier: Apache-2.0
//
// What is told in passing, and worked off by a thread of its own: who tells never waits, what does not fit is counted as lost.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace redoubt::telemetry {

struct QueueOptions {
  std::size_t entries_max = 8192;
  std::size_t batch = 512;  // worked off together
  int wait_ms = 1000;       // for a batch to be full
};

template <typename Entry>
class BoundedQueue {
 public:
  // `work` is called on the queue's thread; `lost` from any, with how many.
  BoundedQueue(QueueOptions options, std::function<void(std::vector<Entry>)> work, std::function<void(std::uint64_t)> lost)
      : options_(options), work_(std::move(work)), lost_(std::move(lost)), thread_([this] { run(); }) {}
  // Works off what is left.
  ~BoundedQueue() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  // False for what did not fit.
  bool put(Entry entry) {
    {
      const std::lock_guard lock(mutex_);
      if (entries_.size() < options_.entries_max) {
        entries_.push_back(std::move(entry));
        if (entries_.size() == options_.batch) changed_.notify_all();
        return true;
      }
    }
    if (lost_) lost_(1);
    return false;
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait_for(lock, std::chrono::milliseconds(options_.wait_ms), [this] { return stopping_ || entries_.size() >= options_.batch; });
      if (entries_.empty() && stopping_) return;
      std::vector<Entry> taken;
      while (!entries_.empty() && taken.size() < options_.batch) {
        taken.push_back(std::move(entries_.front()));
        entries_.pop_front();
      }
      if (taken.empty()) continue;
      lock.unlock();
      work_(std::move(taken));
      lock.lock();
    }
  }

  const QueueOptions options_;
  const std::function<void(std::vector<Entry>)> work_;
  const std::function<void(std::uint64_t)> lost_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Entry> entries_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace redoubt::telemetry
