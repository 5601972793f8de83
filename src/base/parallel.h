// SPDX-License-Identifier: Apache-2.0
//
// The same work for many things by a few threads.
#pragma once

#include <cstddef>
#include <functional>

#include "base/result.h"

namespace redoubt {

// As many as this process may run at once, at least 1 and at most `most`.
std::size_t threads_at_most(std::size_t most);

// Calls `work` once for each index below `count`, from up to `threads` threads, in order of the index. After the first error
// nothing new is begun; the error with the lowest index is the answer. `work` must be safe to call from several threads.
Status for_each_in_parallel(std::size_t count, std::size_t threads, const std::function<Status(std::size_t)>& work);

}  // namespace redoubt
