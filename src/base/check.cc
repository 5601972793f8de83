// SPDX-License-Identifier: Apache-2.0
#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace redoubt::detail {

void check_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "redoubt: internal error: CHECK(%s) failed at %s:%d\n", expression, file, line);
  std::abort();
}

}  // namespace redoubt::detail
