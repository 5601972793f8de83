// SPDX-License-Identifier: Apache-2.0
#include "gateway/router.h"

#include <algorithm>

namespace redoubt::gateway {
namespace {

constexpr auto kRetireMax = std::chrono::minutes(10);

Status check_ready(const Release& release) {
  if (release.pool && release.pool->state().workers_ready > 0) return {};
  return fail(ErrorCode::unavailable, "the new release has no ready worker", release.name + "/" + release.version);
}

bool serves(const Release& release, const std::string& model) {
  if (release.answers_to(model)) return true;
  const auto known = release.pool->known();
  return std::find(known->adapters.begin(), known->adapters.end(), model) != known->adapters.end();
}

}  // namespace

bool Release::answers_to(const std::string& model) const { return model.empty() || model == name || model == name + "/" + version; }

Router::~Router() {
  for (auto& thread : retiring_) thread.join();
}

Status Router::activate(Release release) {
  TRY(check_ready(release));
  auto fresh = std::make_shared<const Release>(std::move(release));
  std::lock_guard lock(mutex_);
  if (candidate_) retire(std::exchange(candidate_, nullptr));
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
  for (auto* release : {&active_, &previous_, &candidate_})
    if (*release) retire(std::exchange(*release, nullptr));
}

Status Router::begin_trial(Release candidate, Trial trial, int percent) {
  TRY(check_ready(candidate));
  const auto where = candidate.name + "/" + candidate.version;
  auto fresh = std::make_shared<const Release>(std::move(candidate));
  std::lock_guard lock(mutex_);
  if (!active_) return fail(ErrorCode::not_found, "there is no release to try another beside", where);
  if (candidate_) return fail(ErrorCode::already_exists, "another release is being tried", candidate_->name + "/" + candidate_->version);
  candidate_ = std::move(fresh);
  trial_ = trial;
  percent_ = percent;
  owed_ = 0;
  return {};
}

void Router::set_share(int percent) {
  std::lock_guard lock(mutex_);
  percent_ = percent;
  owed_ = 0;
  trial_ = Trial::share;
}

Status Router::promote() {
  std::lock_guard lock(mutex_);
  if (!candidate_) return fail(ErrorCode::not_found, "no release is being tried");
  if (previous_) retire(std::move(previous_));
  previous_ = std::exchange(active_, std::exchange(candidate_, nullptr));
  return {};
}

bool Router::end_trial() {
  std::lock_guard lock(mutex_);
  if (!candidate_) return false;
  retire(std::exchange(candidate_, nullptr));
  return true;
}

Router::Choice Router::choose(const std::string& model) {
  std::lock_guard lock(mutex_);
  if (!candidate_ || !active_ || !serves(*candidate_, model)) return {active_, nullptr, nullptr};
  const bool either = serves(*active_, model);
  if (trial_ == Trial::share && !either) return {candidate_, nullptr, nullptr};
  if (!either) return {active_, nullptr, nullptr};
  owed_ += percent_;
  if (owed_ < 100) return {active_, nullptr, nullptr};
  owed_ -= 100;
  if (trial_ == Trial::shadow) return {active_, nullptr, candidate_};
  return {candidate_, active_, nullptr};
}

std::shared_ptr<const Release> Router::active() const {
  std::lock_guard lock(mutex_);
  return active_;
}

std::shared_ptr<const Release> Router::previous() const {
  std::lock_guard lock(mutex_);
  return previous_;
}

std::shared_ptr<const Release> Router::candidate() const {
  std::lock_guard lock(mutex_);
  return candidate_;
}

// On a thread of its own, because a pool ends only after its requests have.
void Router::retire(std::shared_ptr<const Release> release) {
  retiring_.emplace_back([release = std::move(release)]() mutable {
    release->pool->drain(kRetireMax);
    release.reset();
  });
}

}  // namespace redoubt::gateway
