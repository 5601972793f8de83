// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <limits>

#include "packages/version_order.h"
#include "packages/version_text.h"

namespace redoubt::packages {
namespace {

using detail::compare_digits, detail::is_digit, detail::sign, detail::take_while;

// What may stand next in a version, in the order that a version has them.
enum class Kind { number_or_zeros, number, letter, suffix, suffix_number, revision, end, invalid };

constexpr std::string_view kBefore[] = {"alpha", "beta", "pre", "rc"}, kAfter[] = {"cvs", "svn", "git", "hg", "p"};

// A number is its digits; everything else a small number.
struct Token {
  std::int64_t value = 0;
  std::string_view digits = {};
};

int compare_tokens(const Token& a, const Token& b) {
  // A number with leading zeros ("2.01") is less than all without, so it has a negative value and no digits.
  if (!a.digits.empty() && !b.digits.empty()) return compare_digits(a.digits, b.digits);
  const auto value = [](const Token& token) { return token.digits.empty() ? token.value : detail::without_zeros(token.digits).empty() ? 0 : std::numeric_limits<std::int64_t>::max(); };
  return value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0;
}

class Tokens {
 public:
  explicit Tokens(std::string_view text) : rest_(text) {}
  Kind kind() const { return kind_; }

  // Reads the token of the present kind and finds the kind of the next.
  Token next() {
    const Token token = read();
    if (kind_ != Kind::invalid && kind_ != Kind::end) advance();
    return token;
  }

 private:
  Token read() {
    if (rest_.empty()) {
      kind_ = Kind::end;
      return {};
    }
    switch (kind_) {
      case Kind::number_or_zeros:
        if (rest_[0] == '0') {
          kind_ = Kind::number;
          return {-static_cast<std::int64_t>(take_while(rest_, [](char c) { return c == '0'; }).size())};
        }
        return number();
      case Kind::number:
      case Kind::suffix_number:
      case Kind::revision: return number();
      case Kind::letter: {
        const char letter = rest_[0];
        rest_.remove_prefix(1);
        return {letter};
      }
      case Kind::suffix: return suffix();
      case Kind::end:
      case Kind::invalid: break;
    }
    kind_ = Kind::invalid;
    return {-1};
  }

  Token number() {
    const auto digits = take_while(rest_, is_digit);
    if (digits.empty()) {
      kind_ = Kind::invalid;
      return {-1};
    }
    return {0, digits};
  }

  Token suffix() {
    const auto take = [&](const auto& words, std::int64_t first) -> std::int64_t {
      for (std::size_t i = 0; i < std::size(words); ++i) {
        if (!rest_.starts_with(words[i])) continue;
        rest_.remove_prefix(words[i].size());
        return first + static_cast<std::int64_t>(i);
      }
      return std::numeric_limits<std::int64_t>::min();
    };
    if (const auto value = take(kBefore, -static_cast<std::int64_t>(std::size(kBefore))); value < 0 && value != std::numeric_limits<std::int64_t>::min()) return {value};
    if (const auto value = take(kAfter, 0); value >= 0) return {value};
    kind_ = Kind::invalid;
    return {-1};
  }

  void advance() {
    Kind next = Kind::invalid;
    const bool in_number = kind_ == Kind::number || kind_ == Kind::number_or_zeros;
    if (rest_.empty()) {
      next = Kind::end;
    } else if (in_number && rest_[0] >= 'a' && rest_[0] <= 'z') {
      next = Kind::letter;
    } else if (kind_ == Kind::letter && is_digit(rest_[0])) {
      next = Kind::number;
    } else if (kind_ == Kind::number && is_digit(rest_[0])) {
      next = Kind::number;  // what follows leading zeros
    } else if (kind_ == Kind::suffix && is_digit(rest_[0])) {
      next = Kind::suffix_number;
    } else {
      if (rest_[0] == '.') next = Kind::number_or_zeros;
      if (rest_[0] == '_') next = Kind::suffix;
      if (rest_.starts_with("-r")) {
        next = Kind::revision;
        rest_.remove_prefix(1);
      }
      rest_.remove_prefix(1);
    }
    const bool goes_back = (next == Kind::number_or_zeros && kind_ == Kind::number) || (next == Kind::suffix && kind_ == Kind::suffix_number) || (next == Kind::number && kind_ == Kind::letter);
    kind_ = next < kind_ && !goes_back ? Kind::invalid : next;
  }

  std::string_view rest_;
  Kind kind_ = Kind::number;
};

}  // namespace

int compare_alpine_versions(std::string_view a, std::string_view b) {
  Tokens left(a), right(b);
  int order = 0;
  while (order == 0 && left.kind() == right.kind() && left.kind() != Kind::end && left.kind() != Kind::invalid) {
    const Token x = left.next(), y = right.next();
    order = compare_tokens(x, y);
  }
  if (order != 0) return order;
  if (left.kind() == right.kind()) return 0;
  // The longer one is newer, unless it goes on with what stands before a release.
  if (left.kind() == Kind::suffix && left.next().value < 0) return -1;
  if (right.kind() == Kind::suffix && right.next().value < 0) return 1;
  return left.kind() > right.kind() ? -1 : left.kind() < right.kind() ? 1 : 0;
}

}  // namespace redoubt::packages
