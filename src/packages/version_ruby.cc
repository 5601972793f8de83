// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <vector>

#include "packages/version_order.h"
#include "packages/version_text.h"

namespace redoubt::packages {
namespace {

using detail::compare_digits, detail::is_digit, detail::is_letter, detail::is_number, detail::sign, detail::take_while, detail::without_zeros;

bool is_zero(std::string_view segment) { return is_number(segment) && without_zeros(segment).empty(); }

// Runs of digits and runs of letters, without the zeros at the end of the numbers before the first letters and at the very end; '-' is
// ".pre.".
std::vector<std::string> segments_of(std::string_view text) {
  std::vector<std::string> numbers, rest;
  while (!text.empty()) {
    auto& list = rest.empty() && !is_letter(text[0]) && text[0] != '-' ? numbers : rest;
    if (is_digit(text[0])) {
      list.emplace_back(take_while(text, is_digit));
    } else if (is_letter(text[0])) {
      list.emplace_back(take_while(text, is_letter));
    } else {
      if (text[0] == '-') list.emplace_back("pre");
      text.remove_prefix(1);
    }
  }
  while (!numbers.empty() && is_zero(numbers.back())) numbers.pop_back();
  while (!rest.empty() && is_zero(rest.back())) rest.pop_back();
  numbers.insert(numbers.end(), rest.begin(), rest.end());
  return numbers;
}

}  // namespace

int compare_ruby_versions(std::string_view a, std::string_view b) {
  const auto left = segments_of(a), right = segments_of(b);
  static const std::string kZero = "0";
  for (std::size_t i = 0; i < std::max(left.size(), right.size()); ++i) {
    const auto& x = i < left.size() ? left[i] : kZero;
    const auto& y = i < right.size() ? right[i] : kZero;
    if (is_number(x) != is_number(y)) return is_number(x) ? 1 : -1;
    if (const int order = is_number(x) ? compare_digits(x, y) : sign(x.compare(y)); order != 0) return order;
  }
  return 0;
}

}  // namespace redoubt::packages
