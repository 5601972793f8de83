// SPDX-License-Identifier: Apache-2.0
#include "base/parallel.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace redoubt {

std::size_t threads_at_most(std::size_t most) {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  const int count = ::sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? CPU_COUNT(&allowed) : 1;
  return std::clamp<std::size_t>(static_cast<std::size_t>(std::max(count, 1)), 1, std::max<std::size_t>(most, 1));
}

Status for_each_in_parallel(std::size_t count, std::size_t threads, const std::function<Status(std::size_t)>& work) {
  std::atomic<std::size_t> next = 0;
  std::atomic<bool> stopped = false;
  std::mutex mutex;
  std::size_t failed_at = count;
  std::optional<Error> failure;
  const auto run = [&] {
    while (!stopped) {
      const std::size_t index = next++;
      if (index >= count) return;
      auto done = work(index);
      if (done) continue;
      stopped = true;
      const std::scoped_lock lock(mutex);
      if (index < failed_at) failure = std::move(done.error());
      failed_at = std::min(failed_at, index);
    }
  };
  std::vector<std::thread> others;
  for (std::size_t i = 1; i < std::min(threads, count); ++i) others.emplace_back(run);
  run();
  for (auto& other : others) other.join();
  if (failure) return fail(std::move(*failure));
  return {};
}

}  // namespace redoubt
