// SPDX-License-Identifier: Apache-2.0
#include "http/bell.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace redoubt::http::detail {

Result<std::shared_ptr<Bell>> Bell::create() {
  Fd event(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!event) return fail_errno(errno, "making an event", "HTTP server");
  return std::shared_ptr<Bell>(new Bell(std::move(event)));
}

void Bell::ring(std::uint64_t id) {
  std::lock_guard lock(mutex_);
  if (rung_.empty() || rung_.back() != id) rung_.push_back(id);
  if (!std::exchange(asleep_, false)) return;
  const std::uint64_t one = 1;
  // It fails only when the counter is full, and then the thread is awake already.
  [[maybe_unused]] auto ignored = ::write(event_.get(), &one, sizeof one);
}

void Bell::take(std::vector<std::uint64_t>& rung) {
  rung.clear();
  std::lock_guard lock(mutex_);
  rung_.swap(rung);
}

bool Bell::fall_asleep() {
  std::lock_guard lock(mutex_);
  return asleep_ = rung_.empty();
}

void Bell::awake() {
  std::lock_guard lock(mutex_);
  asleep_ = false;
}

}  // namespace redoubt::http::detail
