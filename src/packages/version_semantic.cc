// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>
#include <vector>

#include "packages/version_order.h"
#include "packages/version_text.h"

namespace redoubt::packages {
namespace {

using detail::compare_digits, detail::is_digit, detail::is_letter, detail::is_number, detail::sign, detail::take_while;

struct SemanticVersion {
  std::string_view numbers[3];
  std::string_view extra;  // a fourth number and what follows, which no semantic version has and some records do
  std::string_view pre_release;
};

bool is_identifiers(std::string_view text) {
  while (true) {
    const auto dot = std::min(text.find('.'), text.size());
    const auto identifier = text.substr(0, dot);
    if (identifier.empty() || !std::all_of(identifier.begin(), identifier.end(), [](char c) { return is_digit(c) || is_letter(c) || c == '-'; })) return false;
    if (dot == text.size()) return true;
    text.remove_prefix(dot + 1);
  }
}

std::optional<SemanticVersion> parse(std::string_view text) {
  SemanticVersion version;
  if (text.starts_with('v') || text.starts_with('V')) text.remove_prefix(1);
  text = text.substr(0, text.find('+'));
  for (auto& number : version.numbers) {
    number = take_while(text, is_digit);
    if (number.empty()) return std::nullopt;
    if (!text.starts_with('.')) break;
    text.remove_prefix(1);
  }
  if (text.starts_with('-')) {
    version.pre_release = text.substr(1);
    if (!is_identifiers(version.pre_release)) return std::nullopt;
  } else if (!text.empty()) {
    version.extra = text;
    if (!is_identifiers(text)) return std::nullopt;
  }
  return version;
}

int compare_identifier(std::string_view a, std::string_view b) {
  const bool left = is_number(a), right = is_number(b);
  if (left != right) return left ? -1 : 1;
  return left ? compare_digits(a, b) : sign(a.compare(b));
}

// Identifier by identifier; a list that is the start of the other sorts first.
int compare_identifiers(std::string_view a, std::string_view b) {
  while (!a.empty() && !b.empty()) {
    const auto left = a.substr(0, a.find('.')), right = b.substr(0, b.find('.'));
    if (const int order = compare_identifier(left, right); order != 0) return order;
    a.remove_prefix(std::min(left.size() + 1, a.size()));
    b.remove_prefix(std::min(right.size() + 1, b.size()));
  }
  return a.empty() ? (b.empty() ? 0 : -1) : 1;
}

}  // namespace

int compare_semantic_versions(std::string_view a, std::string_view b) {
  const auto left = parse(a), right = parse(b);
  if (!left || !right) return left ? 1 : right ? -1 : sign(a.compare(b));
  for (int i = 0; i < 3; ++i) {
    if (const int order = compare_digits(left->numbers[i], right->numbers[i]); order != 0) return order;
  }
  if (const int order = compare_identifiers(left->extra, right->extra); order != 0) return order;
  if (left->pre_release.empty() != right->pre_release.empty()) return left->pre_release.empty() ? 1 : -1;
  return compare_identifiers(left->pre_release, right->pre_release);
}

}  // namespace redoubt::packages
