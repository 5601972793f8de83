// SPDX-License-Identifier: Apache-2.0
#include "gateway/side_thread.h"

#include <utility>

namespace redoubt::gateway {

SideThread::~SideThread() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

bool SideThread::put(const std::string& payer, std::function<void()> look, std::function<void()> give_way) {
  std::function<void()> dropped;
  {
    const std::lock_guard lock(mutex_);
    if (queue_.size() >= waiting_max_) {
      const auto last = queue_.make_room(payer);
      if (!last) return false;
      dropped = std::move(waiting_.extract(*last).mapped().give_way);
    }
    queue_.add(next_id_, payer);
    waiting_.emplace(next_id_++, Waiting{payer, std::move(look), std::move(give_way)});
  }
  changed_.notify_all();
  if (dropped) dropped();
  return true;
}

void SideThread::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;
    auto next = std::move(waiting_.extract(queue_.take()).mapped());
    lock.unlock();
    next.look();
    next.look = next.give_way = nullptr;  // what they hold is let go of outside of the lock
    lock.lock();
    queue_.end(next.payer);
  }
}

}  // namespace redoubt::gateway
