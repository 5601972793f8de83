// SPDX-License-Identifier: Apache-2.0
#include "engine/tokenizer/byte_level.h"

#include <array>

#include "base/utf8.h"


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

constexpr std::array<std::int16_t, 256> kCharacterOf = [] {
  std::array<std::int16_t, 256> table{};
  for (std::size_t c = 0; c < kByteOf.size(); ++c)
    if (kByteOf[c] >= 0) table[static_cast<std::size_t>(kByteOf[c])] = static_cast<std::int16_t>(c);
  return table;
}();

}  // namespace

int byte_of_character(std::uint32_t c) { return c < kByteOf.size() ? kByteOf[c] : -1; }

bool is_byte_level(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto step = utf8_step(text.substr(i));
    if (step.kind != Utf8Step::whole || byte_of_character(step.code_point) < 0) return false;
    i += step.size;
  }
  return true;
}

std::string bytes_of_token(std::string_view text) {
  if (!is_byte_level(text)) return std::string(text);
  std::string bytes;
  for (std::size_t i = 0; i < text.size();) {
    const auto step = utf8_step(text.substr(i));
    bytes.push_back(static_cast<char>(byte_of_character(step.code_point)));
    i += step.size;
  }
  return bytes;
}

void append_byte_level(std::string& to, std::string_view bytes) {
  for (const char c : bytes) append_utf8(to, static_cast<std::uint32_t>(kCharacterOf[static_cast<std::uint8_t>(c)]));
}

}  // namespace redoubt::engine::tokenizer
