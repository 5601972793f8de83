// SPDX-License-Identifier: Apache-2.0
#include "stages/data/text_shape.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace redoubt::stages::data {
namespace {

enum Class : std::uint8_t { kOther = 0, kDigit = 1, kLetter = 2, kHexadecimal = 4, kGroups = 8 };

constexpr std::array<std::uint8_t, 256> classes() {
  std::array<std::uint8_t, 256> out{};
  for (unsigned c = '0'; c <= '9'; ++c) out[c] = kDigit | kHexadecimal;
  for (unsigned c = 'a'; c <= 'z'; ++c) out[c] = out[c - 32] = kLetter;
  for (unsigned c = 'a'; c <= 'f'; ++c) out[c] = out[c - 32] = kLetter | kHexadecimal;
  for (const char c : {' ', '-', '.', '/', '(', ')', '+'}) out[static_cast<unsigned char>(c)] = kGroups;
  return out;
}
constexpr auto kClasses = classes();

}  // namespace

TextShape shape_of(std::string_view text) {
  TextShape out;
  unsigned digits = 0, gap = 0, run = 0;
  std::uint8_t kinds = 0, before = kOther;
  char previous = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const std::uint8_t of = kClasses[static_cast<unsigned char>(c)];
    if ((of & kDigit) != 0) {
      digits = gap <= 2 ? digits + 1 : 1;
      gap = 0;
      out.digits = std::max(out.digits, digits);
    } else {
      gap += (of & kGroups) != 0 ? 1 : 3;
    }
    if ((of & (kDigit | kLetter)) != 0) {
      kinds |= of & (kDigit | kLetter);
      ++run;
      if (kinds == (kDigit | kLetter)) out.shape.mixed_run = std::max(out.shape.mixed_run, run);
    } else {
      const bool hexadecimal = (before & kHexadecimal) != 0;
      out.shape.hex_colons += c == ':' && (hexadecimal || previous == ':');
      out.shape.hex_dashes += c == '-' && hexadecimal;
      out.shape.hex_dots += c == '.' && hexadecimal;
      run = 0;
      kinds = 0;
    }
    before = of;
    previous = c;
  }
  return out;
}

}  // namespace redoubt::stages::data
