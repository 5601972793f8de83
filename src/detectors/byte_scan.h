// SPDX-License-Identifier: Apache-2.0
//
// Which bytes of a text are of what kind, many at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace redoubt::detectors {

// Of 64 bytes, one bit each, the first the lowest.
struct ByteMasks {
  std::uint64_t digit = 0, colon = 0, dash = 0, dot = 0, at = 0;
  std::uint64_t value = 0;  // letters, digits and "_./+=~-", of which secrets are made
};
ByteMasks masks_of(const char* bytes);

// The first place from `at` on that is no plain part of a JSON string: a quote, a backslash or a control character; the size at the end.
std::size_t json_run_end(std::string_view text, std::size_t at);
// The first place from `at` on that is not printable ASCII, a tab or the end of a line; the size at the end.
std::size_t printable_run_end(std::string_view text, std::size_t at);

bool is_ascii(std::string_view text);

}  // namespace redoubt::detectors
