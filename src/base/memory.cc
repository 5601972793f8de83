// SPDX-License-Identifier: Apache-2.0
#include "base/memory.h"

#include <malloc.h>

namespace redoubt {

void keep_memory_small() {
  constexpr int kHeapsMax = 4, kLargeBytes = 256 << 10, kKeptBytes = 1 << 20;
  mallopt(M_ARENA_MAX, kHeapsMax);
  // Once set it stays: else each large block that is freed makes the next ones of its size count as small.
  mallopt(M_MMAP_THRESHOLD, kLargeBytes);
  mallopt(M_TRIM_THRESHOLD, kKeptBytes);
}

}  // namespace redoubt
