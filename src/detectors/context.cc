// SPDX-License-Identifier: Apache-2.0
#include "detectors/context.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string>

#include "detectors/kinds.h"

namespace redoubt::detectors {
namespace {

constexpr std::size_t kBytesBefore = 100, kBytesAfter = 50;

bool is_word_byte(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

bool holds_word(std::string_view window, std::string_view word) {
  for (std::size_t at = window.find(word); at != window.npos; at = window.find(word, at + 1)) {
    const std::size_t end = at + word.size();
    const bool begins = at == 0 || !is_word_byte(window[at - 1]) || !is_word_byte(word.front());
    const bool ends = end == window.size() || !is_word_byte(window[end]) || !is_word_byte(word.back()) || (window[end] == 's' && (end + 1 == window.size() || !is_word_byte(window[end + 1])));
    if (begins && ends) return true;
  }
  return false;
}

// How sure a kind is of what it found, where two found the same bytes.
int sureness(std::string_view kind) {
  constexpr std::array kLeast = {"PASSWORD", "GENERIC_SECRET"};
  constexpr std::array kWeak = {"PHONE_NUMBER", "US_BANK_NUMBER", "US_DRIVER_LICENSE", "US_PASSPORT", "UK_PASSPORT", "IT_PASSPORT", "IN_PASSPORT", "UK_POSTCODE", "IT_IDENTITY_CARD", "IN_VOTER", "ES_PASSPORT", "KR_PASSPORT", "KR_DRIVER_LICENSE", "DE_FUEHRERSCHEIN", "UK_VEHICLE_REGISTRATION", "IN_VEHICLE_REGISTRATION"};
  if (std::find(kLeast.begin(), kLeast.end(), kind) != kLeast.end()) return kind == kLeast[0] ? 0 : 1;
  if (std::find(kWeak.begin(), kWeak.end(), kind) != kWeak.end()) return 2;
  return kind == "EMAIL_ADDRESS" ? 3 : 4;  // "password@host" of a URL's credentials
}

// What hides in a text is told beside what it hides in.
bool is_hidden(std::string_view kind) {
  const Kind* known = find_kind(kind);
  return known != nullptr && known->group == Group::hidden;
}

bool overlap(const Match& a, const Match& b) { return a.offset < b.offset + b.length && b.offset < a.offset + a.length; }

}  // namespace

bool has_context(const Candidate& candidate, std::string_view words) {
  const std::size_t begin = candidate.offset > kBytesBefore ? candidate.offset - kBytesBefore : 0, after = candidate.offset + candidate.length;
  std::string window(candidate.text.substr(begin, candidate.offset - begin));
  window.push_back('\n');
  window += candidate.text.substr(after, kBytesAfter);
  std::transform(window.begin(), window.end(), window.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  bool found = false;
  for_each_word(words, [&](std::string_view word) { found = found || holds_word(window, word); });
  return found;
}

std::vector<Match> without_repeats(std::vector<Match> matches) {
  std::vector<Match> out;
  for (const auto& match : matches) {
    bool keep = true;
    // Few matches overlap, so only the last ones are looked at.
    for (std::size_t back = 1; keep && back <= std::min<std::size_t>(out.size(), 8);) {
      Match& other = out[out.size() - back];
      if (!overlap(match, other) || is_hidden(match.kind) != is_hidden(other.kind)) {
        ++back;
      } else if (other.kind == match.kind) {
        other.length = std::max(other.offset + other.length, match.offset + match.length) - other.offset;
        keep = false;
      } else if (sureness(other.kind) > sureness(match.kind)) {
        keep = false;
      } else if (sureness(other.kind) < sureness(match.kind)) {
        out.erase(out.end() - static_cast<std::ptrdiff_t>(back));
      } else {
        ++back;
      }
    }
    if (keep) out.push_back(match);
  }
  return out;
}

}  // namespace redoubt::detectors
