// SPDX-License-Identifier: Apache-2.0
#include "gateway/limits.h"

#include <algorithm>
#include <cmath>

namespace redoubt::gateway {
namespace {
constexpr std::size_t kGoodKeysMax = 256, kUsesMax = 10'000;
}

// As it is now. With the lock held.
KeyLimits::Use& KeyLimits::use_of(const ApiKeyInfo& key) {
  auto& uses = state_->uses;
  const auto now = clock_.now();
  // Who comes with a token may be anybody: those whose bucket has long been full again are forgotten.
  if (uses.size() >= kUsesMax) std::erase_if(uses, [&](const auto& entry) { return entry.second.running == 0 && now - entry.second.filled > std::chrono::minutes(1); });
  auto [found, fresh] = uses.try_emplace(key.account());
  auto& use = found->second;
  const double per_minute = key.requests_per_minute;
  if (fresh) use = {per_minute, now, 0};
  auto passed_ms = static_cast<double>(std::max<std::int64_t>(0, (now - use.filled).count()));
  use.tokens = std::min(per_minute, use.tokens + passed_ms * per_minute / 60'000);
  use.filled = now;
  return use;
}

KeyLimits::Standing KeyLimits::standing(const ApiKeyInfo& key) {
  std::lock_guard lock(state_->mutex);
  const auto& use = use_of(key);
  const double per_minute = key.requests_per_minute;
  return {key.requests_per_minute, static_cast<int>(use.tokens), static_cast<int>(std::ceil((per_minute - use.tokens) * 60 / per_minute))};
}

tl::expected<Admission, int> KeyLimits::admit(const ApiKeyInfo& key) {
  std::lock_guard lock(state_->mutex);
  auto& use = use_of(key);
  const double per_minute = key.requests_per_minute;
  if (use.running >= key.concurrent_requests) return tl::unexpected<int>(1);
  if (use.tokens < 1)
    return tl::unexpected<int>(std::max(1, static_cast<int>(std::ceil((1 - use.tokens) * 60 / per_minute))));
  use.tokens -= 1;
  ++use.running;
  return Admission(nullptr, [state = state_, id = key.account()](void*) {
    std::lock_guard release(state->mutex);
    --state->uses.at(id).running;
  });
}

bool SourceLimits::admit(const std::string& source) {
  std::lock_guard lock(mutex_);
  const auto now = clock_.now();
  if (uses_.size() >= options_.sources_max && !uses_.contains(source))
    uses_.erase(std::min_element(uses_.begin(), uses_.end(), [](auto& a, auto& b) { return a.second.filled < b.second.filled; }));
  const double per_minute = options_.requests_per_minute;
  auto& use = uses_.try_emplace(source, Use{per_minute, now}).first->second;
  const auto passed_ms = static_cast<double>(std::max<std::int64_t>(0, (now - use.filled).count()));
  use.tokens = std::min(per_minute, use.tokens + passed_ms * per_minute / 60'000);
  use.filled = now;
  if (use.tokens < 1) return false;
  use.tokens -= 1;
  return true;
}

Lockout::Record& Lockout::record_of(const std::string& source) {
  if (records_.size() >= options_.sources_max && !records_.contains(source)) {
    auto oldest =
        std::min_element(records_.begin(), records_.end(), [](auto& a, auto& b) { return a.second.seen < b.second.seen; });
    records_.erase(oldest);
  }
  auto& record = records_[source];
  record.seen = clock_.now();
  return record;
}

void Lockout::note_failure(const std::string& source) {
  std::lock_guard lock(mutex_);
  auto now = clock_.now();
  auto& record = record_of(source);
  if (now - record.window_start >= std::chrono::seconds(options_.window_s)) {
    record.window_start = now;
    record.failures = 0;
  }
  if (++record.failures >= options_.failures_max) {
    record.locked_until = now + std::chrono::seconds(options_.lock_s);
    record.failures = 0;
  }
}

void Lockout::note_success(const std::string& source, const std::string& key_id) {
  std::lock_guard lock(mutex_);
  auto& record = record_of(source);
  auto& keys = record.good_keys;
  // Keys end, and others take their places.
  if (keys.size() >= kGoodKeysMax && !keys.contains(key_id)) keys.erase(std::min_element(keys.begin(), keys.end(), [](auto& a, auto& b) { return a.second < b.second; }));
  keys[key_id] = record.seen;
}

int Lockout::locked_s(const std::string& source) {
  std::lock_guard lock(mutex_);
  auto found = records_.find(source);
  auto rest = found == records_.end() ? std::chrono::milliseconds(0) : found->second.locked_until - clock_.now();
  return rest.count() <= 0 ? 0 : static_cast<int>((rest.count() + 999) / 1000);
}

bool Lockout::knows(const std::string& source, const std::string& key_id) {
  std::lock_guard lock(mutex_);
  auto found = records_.find(source);
  return found != records_.end() && found->second.good_keys.contains(key_id);
}

}  // namespace redoubt::gateway
