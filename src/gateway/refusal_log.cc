// SPDX-License-Identifier: Apache-2.0
#include "gateway/refusal_log.h"

namespace redoubt::gateway {

void RefusalLog::add(const std::string& source, const std::string& reason) {
  const std::lock_guard lock(mutex_);
  const auto now = clock_.now();
  auto key = std::pair(source, reason);
  // Reasons are texts of ours, but some name a key: those who come too late for an entry of their own share one.
  if (counts_.size() >= entries_max_ && !counts_.contains(key)) key = {"others", "any"};
  const auto [found, fresh] = counts_.try_emplace(key, RefusalCount{key.first, key.second, 0, now, now});
  ++found->second.count;
  found->second.last = now;
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
