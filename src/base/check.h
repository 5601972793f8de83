// SPDX-License-Identifier: Apache-2.0
//
// CHECK is for our own bugs, on in every build, never for input.
#pragma once

namespace redoubt::detail {
[[noreturn]] void check_failed(const char* expression, const char* file, int line);
}

#define CHECK(condition)                                                          \
  do {                                                                            \
    if (!(condition)) [[unlikely]]                                                \
      ::redoubt::detail::check_failed(#condition, __FILE_NAME__, __LINE__);       \
  } while (false)
