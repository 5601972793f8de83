// SPDX-License-Identifier: Apache-2.0
#include "base/background_task.h"

namespace redoubt {

BackgroundTask::BackgroundTask() : thread_([this] { run(); }) {}

BackgroundTask::~BackgroundTask() {
  {
    const std::scoped_lock lock(mutex_);
    ended_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

std::optional<Status> BackgroundTask::ask(const std::string& id, const std::function<Result<std::function<Status()>>()>& prepare) {
  {
    const std::scoped_lock lock(mutex_);
    if (work_ != nullptr) return std::nullopt;
    if (outcome_ && id_ == id) return std::exchange(outcome_, std::nullopt);
  }
  auto work = prepare();
  if (!work) return fail(work.error());
  {
    const std::scoped_lock lock(mutex_);
    id_ = id;
    work_ = std::move(*work);
    outcome_.reset();
  }
  changed_.notify_all();
  return std::nullopt;
}

bool BackgroundTask::is_under_way() const {
  const std::scoped_lock lock(mutex_);
  return work_ != nullptr;
}

void BackgroundTask::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return work_ != nullptr || ended_; });
    if (work_ == nullptr) return;
    const auto work = work_;
    lock.unlock();
    auto outcome = work();
    lock.lock();
    outcome_ = std::move(outcome);
    work_ = nullptr;
  }
}

}  // namespace redoubt
