// SPDX-License-Identifier: Apache-2.0
#include "gateway/router.h"

namespace redoubt::gateway {
namespace {
constexpr auto kRetireMax = std::chrono::minutes(10);
}

Router::~Router() {
  for (auto& thread : retiring_) thread.join();
}

Status Router::activate(Release release) {
  if (!release.pool || release.pool->state().workers_ready == 0)
    return fail(ErrorCode::unavailable, "the new release has no ready worker", release.name + "/" + release.version);
  auto fresh = std::make_shared<const Release>(std::move(release));
  std::lock_guard lock(mutex_);
  if (previous_) retire(std::move(previous_));
  previous_ = std::exchange(active_, std::move(fresh));
  return {};
}

Result<std::string> Router::roll_back() {
  std::lock_guard lock(mutex_);
  if (!previous_) return fail(ErrorCode::not_found, "there is no previous release to go back to");
  std::swap(active_, previous_);
  return active_->name + "/" + active_->version;
}

void Router::withdraw() {
  std::lock_guard lock(mutex_);
  if (active_) retire(std::exchange(active_, nullptr));
  if (previous_) retire(std::exchange(previous_, nullptr));
}

std::shared_ptr<const Release> Router::active() const {
  std::lock_guard lock(mutex_);
  return active_;
}

std::shared_ptr<const Release> Router::previous() const {
  std::lock_guard lock(mutex_);
  return previous_;
}

// On a thread of its own, because a pool ends only after its requests have.
void Router::retire(std::shared_ptr<const Release> release) {
  retiring_.emplace_back([release = std::move(release)]() mutable {
    release->pool->drain(kRetireMax);
    release.reset();
  });
}

}  // namespace redoubt::gateway
