// SPDX-License-Identifier: Apache-2.0
#include <optional>

#include "packages/version_order.h"
#include "packages/version_text.h"

namespace redoubt::packages {
namespace {

using detail::compare_digits, detail::is_digit, detail::is_letter, detail::sign, detail::take_while;

bool is_separator(char c) { return !is_digit(c) && !is_letter(c) && c != '~' && c != '^'; }

// '~' sorts before everything, '^' after the end and before all else. Nothing where neither text has such a mark here.
std::optional<int> compare_marks(std::string_view& a, std::string_view& b, bool& took) {
  const char left = a.empty() ? '\0' : a[0], right = b.empty() ? '\0' : b[0];
  took = false;
  if (left == '~' || right == '~') {
    if (left != right) return left == '~' ? -1 : 1;
  } else if (left == '^' || right == '^') {
    if (left != right) {
      if (a.empty() || b.empty()) return a.empty() ? -1 : 1;
      return left == '^' ? -1 : 1;
    }
  } else {
    return std::nullopt;
  }
  a.remove_prefix(1);
  b.remove_prefix(1);
  took = true;
  return std::nullopt;
}

int compare_part(std::string_view a, std::string_view b) {
  while (!a.empty() || !b.empty()) {
    take_while(a, is_separator);
    take_while(b, is_separator);
    bool took = false;
    if (const auto order = compare_marks(a, b, took)) return *order;
    if (took) continue;
    if (a.empty() || b.empty()) break;
    const bool number = is_digit(a[0]);
    const auto left = number ? take_while(a, is_digit) : take_while(a, is_letter);
    const auto right = number ? take_while(b, is_digit) : take_while(b, is_letter);
    if (right.empty()) return number ? 1 : -1;  // numbers are newer than letters
    if (const int order = number ? compare_digits(left, right) : sign(left.compare(right)); order != 0) return order;
  }
  return a.empty() ? (b.empty() ? 0 : -1) : 1;
}

struct RpmVersion {
  std::string_view epoch, version;
  std::optional<std::string_view> release;
};

RpmVersion split(std::string_view text) {
  RpmVersion parts{"0", text, std::nullopt};
  std::string_view rest = text;
  const auto digits = take_while(rest, is_digit);
  if (rest.starts_with(':')) {
    parts.epoch = digits;
    parts.version = rest.substr(1);
  }
  if (const auto dash = parts.version.rfind('-'); dash != parts.version.npos) {
    parts.release = parts.version.substr(dash + 1);
    parts.version = parts.version.substr(0, dash);
  }
  return parts;
}

}  // namespace

int compare_rpm_versions(std::string_view a, std::string_view b) {
  const RpmVersion left = split(a), right = split(b);
  if (const int order = compare_digits(left.epoch, right.epoch); order != 0) return order;
  if (const int order = compare_part(left.version, right.version); order != 0) return order;
  if (left.release.has_value() != right.release.has_value()) return left.release ? 1 : -1;
  return left.release ? compare_part(*left.release, *right.release) : 0;
}

}  // namespace redoubt::packages
