// SPDX-License-Identifier: Apache-2.0
#include "detectors/text_shape.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <utility>

#include "detectors/byte_scan.h"

namespace redoubt::detectors {
namespace {

enum Class : std::uint8_t { kDigit = 1, kLetter = 2, kHexadecimal = 4, kGroups = 8, kAddress = 16, kCapital = 32 };

constexpr std::array<std::uint8_t, 256> classes() {
  std::array<std::uint8_t, 256> out{};
  for (unsigned c = '0'; c <= '9'; ++c) out[c] = kDigit | kHexadecimal | kAddress;
  for (unsigned c = 'a'; c <= 'z'; ++c) out[c] = out[c - 32] = kLetter | kAddress;
  for (unsigned c = 'a'; c <= 'f'; ++c) out[c] = out[c - 32] = kLetter | kHexadecimal | kAddress;
  for (unsigned c = 'A'; c <= 'Z'; ++c) out[c] |= kCapital;
  for (unsigned c = 0x80; c <= 0xff; ++c) out[c] = kAddress;
  for (const char c : {' ', '-', '.', '/', '(', ')', '+'}) out[static_cast<unsigned char>(c)] |= kGroups;
  for (const char c : {'_', '%', '+', '\'', '&', '*', '!', '#', '$', '/', '=', '?', '^', '`', '{', '|', '}', '~', '-'}) out[static_cast<unsigned char>(c)] |= kAddress;
  return out;
}
constexpr auto kClasses = classes();
constexpr std::size_t kTurnsMin = 8;  // the least that random_value (secret_rules.cc) takes for drawn at random

bool is_value(char c) {
  const auto of = kClasses[static_cast<unsigned char>(c)];
  return (of & (kDigit | kLetter)) != 0 || c == '_' || c == '.' || c == '/' || c == '+' || c == '=' || c == '~' || c == '-';
}

// Signs that divide hexadecimal digits: how many in a row have at most four between one and the next.
struct Chain {
  std::size_t last = 0;
  unsigned count = 0, most = 0;
};

class ShapeReader {
 public:
  explicit ShapeReader(std::string_view text) : text_(text) {}

  TextShape read() {
    std::size_t at = 0;
    for (; at + kBlock <= text_.size(); at += kBlock) block(at, masks_of(text_.data() + at));
    if (at < text_.size()) {
      char rest[kBlock] = {};
      std::memcpy(rest, text_.data() + at, text_.size() - at);
      block(at, masks_of(rest));
    }
    out_.shape.hex_colons = colons_.most;
    out_.shape.hex_dashes = dashes_.most;
    out_.shape.hex_dots = dots_.most;
    return out_;
  }

 private:
  static constexpr std::size_t kBlock = 64;

  template <typename Each>
  static void for_each_bit(std::uint64_t mask, std::size_t from, const Each& each) {
    for (; mask != 0; mask &= mask - 1) each(from + static_cast<std::size_t>(std::countr_zero(mask)));
  }

  void block(std::size_t from, const ByteMasks& masks) {
    for_each_bit(masks.digit, from, [&](std::size_t at) { digit(at); });
    for_each_bit(masks.colon, from, [&](std::size_t at) { colon(at); });
    for_each_bit(masks.dash, from, [&](std::size_t at) { chain(dashes_, at); });
    for_each_bit(masks.dot, from, [&](std::size_t at) { dot(at); });
    for_each_bit(masks.at, from, [&](std::size_t at) { out_.shape.addresses += has(at - 1, kAddress) && has(at + 1, kDigit | kLetter, 0x80); });
    value_run(from, masks.value);
  }

  // Places outside the text, also those before it, which wrap around, are of no kind.
  bool has(std::size_t at, int kinds, unsigned from = 256) const {
    if (at >= text_.size()) return false;
    const auto c = static_cast<unsigned char>(text_[at]);
    return (kClasses[c] & kinds) != 0 || c >= from;
  }
  bool all(std::size_t begin, std::size_t end, int kinds) const {
    for (; begin < end; ++begin) {
      if (!has(begin, kinds)) return false;
    }
    return true;
  }

  void digit(std::size_t at) {
    const bool goes_on = digits_ > 0 && at - last_digit_ <= 3 && all(last_digit_ + 1, at, kGroups);
    digits_ = goes_on ? digits_ + 1 : 1;
    last_digit_ = at;
    out_.digits = std::max(out_.digits, digits_);
    out_.shape.capitals_digits += at >= 2 && has(at + 1, kDigit) && all(at - 2, at, kCapital);
    if (at >= run_end_) run_around(at);
  }

  // The run of letters and digits that a digit stands in, the first of it.
  void run_around(std::size_t at) {
    std::size_t begin = at, end = at + 1;
    bool has_letter = false;
    for (; has(begin - 1, kLetter); --begin) has_letter = true;  // a digit before it would have been the first
    for (; has(end, kDigit | kLetter); ++end) has_letter = has_letter || has(end, kLetter);
    run_end_ = end;
    if (has_letter) out_.shape.mixed_run = std::max(out_.shape.mixed_run, static_cast<unsigned>(end - begin));
  }

  void chain(Chain& chain, std::size_t at, bool may_follow = false) const {
    const bool follows = chain.count > 0 && at - chain.last <= 5 && all(chain.last + 1, at, kHexadecimal) && (may_follow || at - chain.last > 1);
    chain.count = follows ? chain.count + 1 : may_follow || has(at - 1, kHexadecimal) ? 1 : 0;
    chain.last = at;
    chain.most = std::max(chain.most, chain.count);
  }

  void colon(std::size_t at) {
    chain(colons_, at, true);
    out_.shape.digits_colon += at >= 8 && all(at - 8, at, kDigit);
  }

  void dot(std::size_t at) {
    chain(dots_, at);
    out_.shape.token_dots += at + 7 < text_.size() && text_[at + 7] == '.';
  }

  // In each mask a bit says that a run of so many ends there; what runs on from the block before is carried over.
  void value_run(std::size_t from, std::uint64_t run) {
    for (unsigned power = 0; power < runs_before_.size(); ++power) {
      const unsigned length = 1u << power;
      const std::uint64_t before = std::exchange(runs_before_[power], run);
      run &= run << length | before >> (64 - length);
    }
    for_each_bit(run, from, [&](std::size_t at) {
      if (at >= value_end_) value_around(at);
    });
  }

  // A run that is long enough, whose kValueRun-th byte this is.
  void value_around(std::size_t at) {
    std::size_t end = at + 1 - kValueRun, turns = 0;
    const std::size_t begin = end;
    bool letter = false, digit = false, small = false;
    for (; end < text_.size() && is_value(text_[end]); ++end) {
      const char c = text_[end];
      const bool is_small = c >= 'a' && c <= 'z';
      turns += is_small != small;
      small = is_small;
      letter = letter || has(end, kLetter);
      digit = digit || has(end, kDigit);
    }
    value_end_ = end;
    const auto length = static_cast<unsigned>(end - begin);
    out_.shape.value_run = std::max(out_.shape.value_run, length);
    if ((letter && digit) || turns >= kTurnsMin) out_.shape.random_run = std::max(out_.shape.random_run, length);
  }

  std::string_view text_;
  TextShape out_;
  unsigned digits_ = 0;
  std::size_t last_digit_ = 0, run_end_ = 0, value_end_ = 0;
  Chain colons_, dashes_, dots_;
  std::array<std::uint64_t, std::countr_zero(kValueRun)> runs_before_{};  // of 1, 2, 4 and 8
};

}  // namespace

TextShape shape_of(std::string_view text) { return ShapeReader(text).read(); }

}  // namespace redoubt::detectors
