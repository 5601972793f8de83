// SPDX-License-Identifier: Apache-2.0
//
// Code points of texts that are known to be UTF-8.
#pragma once

#include <cstdint>
#include <string_view>

namespace redoubt::detectors {

struct CodePoint {
  std::uint32_t value = 0;
  std::size_t bytes = 1;
};
// The code point that begins at `at`; the text is UTF-8.
inline CodePoint code_point_at(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(at + i < text.size() ? text[at + i] : 0)); };
  const std::uint32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xe0) return {(lead & 0x1f) << 6 | (byte(1) & 0x3f), 2};
  if (lead < 0xf0) return {(lead & 0x0f) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f), 3};
  return {(lead & 0x07) << 18 | (byte(1) & 0x3f) << 12 | (byte(2) & 0x3f) << 6 | (byte(3) & 0x3f), 4};
}

}  // namespace redoubt::detectors
