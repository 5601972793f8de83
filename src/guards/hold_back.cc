// SPDX-License-Identifier: Apache-2.0
#include "guards/hold_back.h"

#include <algorithm>

namespace redoubt::guards {
namespace {

constexpr std::size_t kNumberMax = 128;      // of several runs: a telephone number of eight groups
constexpr std::size_t kAfterDigits = 80;     // letters that end a number, and the words that may stand after it
constexpr std::size_t kDigitGap = 12;        // between two groups of one number
constexpr std::size_t kShortWord = 3;        // "AB 12 34 56 C"
constexpr std::size_t kKeyHeader = 80;       // "-----BEGIN ENCRYPTED PRIVATE KEY-----"
constexpr std::size_t kForeignRun = 64 * 4;  // a name before an '@' has at most 64 characters
constexpr std::size_t kMixedRun = 384 * 4;   // credentials in an address, which may be of any script

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_ascii(char c) { return static_cast<unsigned char>(c) < 0x80; }

std::size_t word_start(std::string_view text, std::size_t end) {
  while (end > 0 && !is_space(text[end - 1])) --end;
  return end;
}

std::size_t skip_spaces_back(std::string_view text, std::size_t end) {
  while (end > 0 && is_space(text[end - 1])) --end;
  return end;
}

// A run of a script that puts no space between words would be held back as a whole: what no candidate can begin in is let go.
std::size_t start_in_last_run(std::string_view text, std::size_t begin) {
  std::size_t ascii_tail = text.size();
  while (ascii_tail > begin && is_ascii(text[ascii_tail - 1])) --ascii_tail;
  const auto back = [&](std::size_t bytes) {
    std::size_t at = text.size() - std::min(bytes, text.size() - begin);
    while (at > begin && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) --at;
    return at;
  };
  const std::size_t mixed = back(kMixedRun);
  const auto recent = text.substr(mixed);
  const bool foreign = std::none_of(recent.begin(), recent.end(), is_ascii);
  return std::min(ascii_tail, foreign ? back(kForeignRun) : mixed);
}

// Where the first of the numbers begins that may go on or be named by a word that is still to come.
std::size_t start_of_digits(std::string_view text) {
  std::size_t begin = text.size() - std::min(kAfterDigits, text.size());
  while (begin < text.size() && !is_digit(text[begin])) ++begin;
  if (begin == text.size()) return begin;
  const std::size_t first = begin - std::min(kNumberMax, begin);
  for (std::size_t at = begin; at > first && begin - at < kDigitGap; --at)
    if (is_digit(text[at - 1])) begin = at - 1;
  begin = word_start(text, begin);
  const std::size_t before_end = skip_spaces_back(text, begin), before = word_start(text, before_end);
  return before_end - before <= kShortWord && before_end > before ? before : begin;
}

}  // namespace

std::size_t undecided_from(std::string_view text) {
  const std::size_t run = word_start(text, text.size());
  const std::size_t word_end = skip_spaces_back(text, run), word = word_start(text, word_end);
  std::size_t held = start_in_last_run(text, run);
  if (held == run) held = word_end - word <= kNumberMax ? word : run;
  held = std::min(held, start_of_digits(text));
  const std::size_t tail = text.size() - std::min(kKeyHeader, text.size());
  if (const auto header = text.find("-----", tail); header != text.npos) held = std::min(held, header);
  return held;
}

std::size_t fresh_start(std::string_view text, std::size_t limit) {
  constexpr std::size_t kQuiet = 80;
  std::size_t quiet = 0;  // bytes without a digit before the place
  std::size_t best = 0;
  for (std::size_t at = 0; at < limit; ++at) {
    quiet = is_digit(text[at]) ? 0 : quiet + 1;
    if (quiet >= kQuiet && is_space(text[at])) best = at + 1;
  }
  return best;
}

}  // namespace redoubt::guards
