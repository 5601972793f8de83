// SPDX-License-Identifier: Apache-2.0
//
// What the orders of versions share: characters without a locale, and numbers of any length.
#pragma once

#include <string_view>

namespace redoubt::packages::detail {

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
constexpr int sign(int order) { return order < 0 ? -1 : order > 0 ? 1 : 0; }

inline bool is_number(std::string_view text) {
  for (const char c : text) {
    if (!is_digit(c)) return false;
  }
  return !text.empty();
}

inline std::string_view without_zeros(std::string_view digits) {
  const auto first = digits.find_first_not_of('0');
  return first == digits.npos ? std::string_view() : digits.substr(first);
}

// Of digits alone; an empty text is zero.
inline int compare_digits(std::string_view a, std::string_view b) {
  a = without_zeros(a);
  b = without_zeros(b);
  if (a.size() != b.size()) return a.size() < b.size() ? -1 : 1;
  return sign(a.compare(b));
}

// What of `text` satisfies `is`, from its start; it is taken off.
template <class Is>
std::string_view take_while(std::string_view& text, Is is) {
  std::size_t count = 0;
  while (count < text.size() && is(text[count])) ++count;
  const auto taken = text.substr(0, count);
  text.remove_prefix(count);
  return taken;
}

}  // namespace redoubt::packages::detail
