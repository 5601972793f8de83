// SPDX-License-Identifier: Apache-2.0
//
// One way in which a secret or a piece of personal data is written.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace redoubt::detectors {

// What a rule's expression matched, inside the text around it.
struct Candidate {
  std::string_view text;        // what is looked at
  std::size_t offset = 0;       // where the candidate begins
  std::size_t length = 0;
  std::string_view value() const { return text.substr(offset, length); }
};

inline constexpr unsigned kValueRun = 16;

// What a text must hold for a rule to be tried, told by one pass over it; what is 0 is not asked for.
struct Shape {
  unsigned mixed_run = 0;        // letters and digits, both, in a run of this length
  unsigned value_run = 0;        // letters, digits and "_./+=~-" in a run of this length, at least kValueRun
  unsigned random_run = 0;       // the same where it holds letters and digits, or goes from small letters to others and back again and again
  unsigned hex_colons = 0;       // ':' in a row, with up to four hexadecimal digits between one and the next
  unsigned hex_dashes = 0;       // '-' in a row, after and between one to four hexadecimal digits
  unsigned hex_dots = 0;         // '.' likewise
  unsigned digits_colon = 0;     // ':' after eight digits
  unsigned token_dots = 0;       // two '.' with six other characters between
  unsigned capitals_digits = 0;  // two capital letters and two digits
  unsigned addresses = 0;        // '@' between what may stand on either side of it in an address
};

struct Rule {
  const char* kind;
  // PCRE2. Quantifiers are bounded or possessive, so that no text makes a match take more than linear time. What is redacted is the
  // first group, where there is one.
  const char* expression;
  // The expression is tried on texts that hold one of these, divided by '|', in lower case; null: by `digits` alone.
  const char* anchors = nullptr;
  // ... and that hold this many digits with at most two signs of grouping between one and the next.
  unsigned digits = 0;
  // How much of the start of the candidate is real (0: none), for kinds that carry their own check. Null: all of it, but a secret's stand-in.
  std::size_t (*real_length)(const Candidate& candidate) = nullptr;
  // One of these words, divided by '|', in lower case, stands near by; null: none is needed.
  const char* context = nullptr;
  Shape shape = {};
};

std::span<const Rule> secret_rules();
std::span<const Rule> personal_rules();

// Whether a word of a list (divided by '|', lower case) stands as a word of its own within 100 bytes before the candidate or 50 after.
bool has_context(const Candidate& candidate, std::string_view words);

// Whether a token is what a manual writes in its place: "ghp_xxxxxxxxxxxx".
bool is_stand_in(std::string_view value);

// Shannon's entropy of the bytes, in bits a byte.
double entropy_of(std::string_view text);

}  // namespace redoubt::detectors
