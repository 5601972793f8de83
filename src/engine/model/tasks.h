// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "engine/torch.h"

namespace redoubt::engine::model {

// Calls f(0) to f(count - 1) from the pool's threads, each as soon as one is free. What f computes must not depend on the order.
template <class F>
void for_each_task(std::int64_t count, F f) {
  std::atomic<std::int64_t> next{0};
  const std::int64_t threads = std::min<std::int64_t>(at::get_num_threads(), count);
  at::parallel_for(0, threads, 1, [&](std::int64_t begin, std::int64_t end) {
    for (; begin < end; ++begin)
      for (std::int64_t i; (i = next++) < count;) f(i);
  });
}

}  // namespace redoubt::engine::model
