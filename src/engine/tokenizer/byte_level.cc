// SPDX-License-Identifier: Apache-2.0
#include "engine/tokenizer/byte_level.h"

#include <array>

#include "engine/tokenizer/utf8.h"

namespace redoubt::engine::tokenizer {
namespace {

constexpr bool stands_for_itself(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
}

// Printable bytes are themselves, the others are counted up from U+0100.
constexpr std::array<std::int16_t, 0x144> kByteOf = [] {
  std::array<std::int16_t, 0x144> table{};
  table.fill(-1);
  int next = 0x100;
  for (int byte = 0; byte < 256; ++byte) table[stands_for_itself(byte) ? byte : next++] = static_cast<std::int16_t>(byte);
  return table;
}();

}  // namespace

std::string bytes_of_token(std::string_view text) {
  std::string bytes;
  for (std::size_t i = 0; i < text.size();) {
    const auto step = utf8_step(text.substr(i));
    if (step.kind != Utf8Step::whole || step.code_point >= kByteOf.size() || kByteOf[step.code_point] < 0)
      return std::string(text);
    bytes.push_back(static_cast<char>(kByteOf[step.code_point]));
    i += step.size;
  }
  return bytes;
}

}  // namespace redoubt::engine::tokenizer
