// SPDX-License-Identifier: Apache-2.0
//
// Work on pieces of a stream by several threads, whose results come out in the order of the pieces.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace redoubt::stages::data {

template <typename In, typename Out>
class OrderedWorkers {
 public:
  using Work = std::function<Out(In&)>;
  using Take = std::function<void(Out&)>;

  // With no thread all is done in `put`. `take` is called by whoever calls `put` and `finish`, never by two at once.
  OrderedWorkers(unsigned threads, std::uint64_t bytes_max, Work work, Take take) : bytes_max_(bytes_max), work_(std::move(work)), take_(std::move(take)) {
    for (unsigned i = 0; i < threads; ++i) threads_.emplace_back([this] { run(); });
  }
  OrderedWorkers(const OrderedWorkers&) = delete;
  ~OrderedWorkers() {
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
    }
    changed_.notify_all();
    for (auto& thread : threads_) thread.join();
  }

  // Waits while more than `bytes_max` or four pieces a thread are under way; a larger piece goes alone.
  void put(In in, std::uint64_t bytes) {
    if (threads_.empty()) {
      Out out = work_(in);
      return take_(out);
    }
    while (!pieces_.empty() && (bytes_ + bytes > bytes_max_ || pieces_.size() >= 4 * threads_.size())) take_first();
    {
      const std::lock_guard lock(mutex_);
      pieces_.push_back({std::move(in), bytes});
      bytes_ += bytes;
    }
    changed_.notify_all();
  }

  void finish() {
    while (!pieces_.empty()) take_first();
  }

 private:
  struct Piece {
    In in;
    std::uint64_t bytes = 0;
    bool started = false;
    std::optional<Out> out = {};
  };

  void take_first() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return pieces_.front().out.has_value(); });
    Out out = std::move(*pieces_.front().out);
    bytes_ -= pieces_.front().bytes;
    pieces_.pop_front();
    lock.unlock();
    take_(out);
  }

  Piece* next() {
    for (auto& piece : pieces_) {
      if (!piece.started) return &piece;
    }
    return nullptr;
  }

  void run() {
    std::unique_lock lock(mutex_);
    while (true) {
      Piece* piece = nullptr;
      changed_.wait(lock, [&] { return (piece = next()) != nullptr || ended_; });
      if (piece == nullptr) return;
      piece->started = true;
      lock.unlock();
      Out out = work_(piece->in);  // a deque's elements stay where they are while others come and go at its ends
      lock.lock();
      piece->out = std::move(out);
      changed_.notify_all();
    }
  }

  std::uint64_t bytes_max_, bytes_ = 0;
  Work work_;
  Take take_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Piece> pieces_;
  bool ended_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace redoubt::stages::data
