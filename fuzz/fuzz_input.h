// SPDX-License-Identifier: Apache-2.0
//
// What every fuzz target starts from: the bytes as text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

inline std::string_view fuzz_text(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}
