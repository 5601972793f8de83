// SPDX-License-Identifier: Apache-2.0
#include "gateway/refusal_log.h"

#include <algorithm>

namespace redoubt::gateway {

// With the lock held. Reasons are texts of ours, but some name a key: those who come too late for an entry of their own share one.
RefusalCount& RefusalLog::count_of(const std::string& source, const std::string& reason, TimePoint now) {
  auto key = std::pair(source, reason);
  if (counts_.size() >= entries_max_ && !counts_.contains(key)) key = {"others", "any"};
  return counts_.try_emplace(key, RefusalCount{key.first, key.second, 0, now, now}).first->second;
}

void RefusalLog::add(const std::string& source, const std::string& reason) {
  const std::lock_guard lock(mutex_);
  const auto now = clock_.now();
  auto& one = count_of(source, reason, now);
  ++one.count;
  one.last = now;
}

void RefusalLog::put_back(std::vector<RefusalCount> counts) {
  const std::lock_guard lock(mutex_);
  for (const auto& back : counts) {
    auto& one = count_of(back.source, back.reason, back.last);
    one.count += back.count;
    one.first = std::min(one.first, back.first);
    one.last = std::max(one.last, back.last);
  }
}

std::vector<RefusalCount> RefusalLog::take() {
  std::map<std::pair<std::string, std::string>, RefusalCount> taken;
  {
    const std::lock_guard lock(mutex_);
    taken.swap(counts_);
  }
  std::vector<RefusalCount> out;
  for (auto& [key, count] : taken) out.push_back(std::move(count));
  return out;
}

}  // namespace redoubt::gateway
