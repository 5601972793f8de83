// SPDX-License-Identifier: Apache-2.0
#include "stages/watch/telling.h"

namespace redoubt::stages::watch {

Telling::Telling() : thread_([this] { run(); }) {}

Telling::~Telling() {
  {
    const std::scoped_lock lock(mutex_);
    ended_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

std::optional<Status> Telling::ask(const std::string& id, const std::function<Result<std::function<Status()>>()>& prepare) {
  {
    const std::scoped_lock lock(mutex_);
    if (send_ != nullptr) return std::nullopt;
    if (outcome_ && id_ == id) return std::exchange(outcome_, std::nullopt);
  }
  auto send = prepare();
  if (!send) return fail(send.error());
  {
    const std::scoped_lock lock(mutex_);
    id_ = id;
    send_ = std::move(*send);
    outcome_.reset();
  }
  changed_.notify_all();
  return std::nullopt;
}

bool Telling::is_under_way() const {
  const std::scoped_lock lock(mutex_);
  return send_ != nullptr;
}

void Telling::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return send_ != nullptr || ended_; });
    if (send_ == nullptr) return;
    const auto send = send_;
    lock.unlock();
    auto outcome = send();
    lock.lock();
    outcome_ = std::move(outcome);
    send_ = nullptr;
  }
}

}  // namespace redoubt::stages::watch
