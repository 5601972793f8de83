// SPDX-License-Identifier: Apache-2.0
#include "engine/tokenizer/unicode_sets.h"

#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/uniset.h>
#include <unicode/uscript.h>

#include <algorithm>

#include "base/check.h"
#include "base/utf8.h"

namespace redoubt::engine::tokenizer {
namespace {

// A set as ICU writes it, cut down to a Unicode version by [:age=...:]. What other versions have in other categories is put in
// or taken out by name.
icu::UnicodeSet set_of(const char* pattern) {
  UErrorCode error = U_ZERO_ERROR;
  icu::UnicodeSet set(icu::UnicodeString::fromUTF8(pattern), error);
  CHECK(U_SUCCESS(error));
  set.freeze();
  return set;
}

bool holds(const icu::UnicodeSet& set, std::uint32_t c) { return set.contains(static_cast<UChar32>(c)); }

// After Unicode 15, up to 17.
constexpr const char* kNumeric =
    "[[:N:]"
    "\\U00010D40-\\U00010D49\\U000116D0-\\U000116E3\\U00011BF0-\\U00011BF9\\U00011DE0-\\U00011DE9"
    "\\U00016130-\\U00016139\\U00016D70-\\U00016D79\\U00016FF4-\\U00016FF6\\U0001CCF0-\\U0001CCF9"
    "\\U0001E5F1-\\U0001E5FA"
    "]";
// After Unicode 15, up to 16.
constexpr const char* kWord =
    "[[:Alphabetic:][:M:][:Nd:][:Pc:][:Join_Control:]"
    "\\u0897\\u1C89-\\u1C8A\\uA7CB-\\uA7CD\\uA7DA-\\uA7DC\\U000105C0-\\U000105F3\\U00010D40-\\U00010D65"
    "\\U00010D69-\\U00010D6D\\U00010D6F-\\U00010D85\\U00010EC2-\\U00010EC4\\U00010EFC"
    "\\U00011380-\\U00011389\\U0001138B\\U0001138E\\U00011390-\\U000113B5\\U000113B7-\\U000113C0"
    "\\U000113C2\\U000113C5\\U000113C7-\\U000113CA\\U000113CC-\\U000113D3\\U000113E1-\\U000113E2"
    "\\U000116D0-\\U000116E3\\U00011BC0-\\U00011BE0\\U00011BF0-\\U00011BF9\\U00011F5A"
    "\\U00013460-\\U000143FA\\U00016100-\\U00016139\\U00016D40-\\U00016D6C\\U00016D70-\\U00016D79"
    "\\U00018CFF\\U0001CCF0-\\U0001CCF9\\U0001E5D0-\\U0001E5FA\\U0002EBF0-\\U0002EE5D"
    "]";
constexpr const char* kPunctuation = "[[[:P:]&[:age=8.0:]][$+<=>\\^`|~\\u166D\\U000111C9]]";
constexpr const char* kNonspacing = "[[[:Mn:]&[:age=8.0:]-[\\u1885\\u1886\\uA9BD\\U000111C9]][\\u1734]]";
constexpr const char* kCombining = "[[[:M:]&[:age=9.0:]-[\\U000111C9]][\\u1CF2\\u1CF3]]";
constexpr const char* kControl =
    "[[[:Cc:][:Cf:][:Co:]\\uFFFD]-[\\u0009\\u000A\\u000D\\u0890\\u0891\\u08E2\\U000110CD\\U00013430-\\U0001343F]]";

// Capitals that came after Unicode 15, with the distance to their small letters.
struct Lowered {
  std::uint32_t first, last;
  std::int32_t distance;
};
constexpr Lowered kNewCapitals[] = {
    {0x1C89, 0x1C89, 1},
    {0xA7CB, 0xA7CB, -42343},
    {0xA7CC, 0xA7CC, 1},
    {0xA7CE, 0xA7CE, 1},
    {0xA7D2, 0xA7D2, 1},
    {0xA7D4, 0xA7D4, 1},
    {0xA7DA, 0xA7DA, 1},
    {0xA7DC, 0xA7DC, -42561},
    {0x10D50, 0x10D65, 32},
    {0x16EA0, 0x16EB8, 27}};

const icu::Normalizer2& plain_normalizer(NormalForm form, UErrorCode& error) {
  switch (form) {
    case NormalForm::nfc: return *icu::Normalizer2::getNFCInstance(error);
    case NormalForm::nfd: return *icu::Normalizer2::getNFDInstance(error);
    case NormalForm::nfkc: return *icu::Normalizer2::getNFKCInstance(error);
    case NormalForm::nfkd: break;
  }
  return *icu::Normalizer2::getNFKDInstance(error);
}

}  // namespace

bool is_white_space(std::uint32_t c) {
  return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_numeric(std::uint32_t c) {
  static const auto kSet = set_of(kNumeric);
  return c < 0x80 ? c >= '0' && c <= '9' : holds(kSet, c);
}

bool is_punctuation(std::uint32_t c) {
  static const auto kSet = set_of(kPunctuation);
  return holds(kSet, c);
}

bool is_word(std::uint32_t c) {
  static const auto kSet = set_of(kWord);
  return holds(kSet, c);
}

bool is_nonspacing_mark(std::uint32_t c) {
  static const auto kSet = set_of(kNonspacing);
  return c >= 0x300 && holds(kSet, c);
}

bool is_combining_mark(std::uint32_t c) {
  static const auto kSet = set_of(kCombining);
  return c >= 0x300 && holds(kSet, c);
}

bool is_control(std::uint32_t c) {
  static const auto kSet = set_of(kControl);
  return holds(kSet, c);
}

void append_lower(std::string& to, std::uint32_t c) {
  if (c < 0x80) {
    to += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    return;
  }
  if (c == 0x130) return append_utf8(to, 'i'), append_utf8(to, 0x307);
  const auto lowered = static_cast<std::uint32_t>(u_tolower(static_cast<UChar32>(c)));
  if (lowered != c) return append_utf8(to, lowered);
  const auto* found = std::ranges::find_if(kNewCapitals, [&](const Lowered& run) { return c >= run.first && c <= run.last; });
  append_utf8(to, found == std::end(kNewCapitals) ? c : static_cast<std::uint32_t>(static_cast<std::int32_t>(c) + found->distance));
}

std::int32_t script_of(std::uint32_t c) {
  static const auto kKnown = set_of("[:age=9.0:]");
  if (c == 0x30FC) return USCRIPT_HAN;
  if (c == ' ' || !holds(kKnown, c)) return kAnyScript;
  if (c == 0x589 || c == 0x61C) return USCRIPT_COMMON;
  if (c == 0x953 || c == 0x954) return USCRIPT_DEVANAGARI;
  UErrorCode error = U_ZERO_ERROR;
  const auto script = uscript_getScript(static_cast<UChar32>(c), &error);
  if (script == USCRIPT_UNKNOWN) return kAnyScript;
  return script == USCRIPT_HIRAGANA || script == USCRIPT_KATAKANA ? USCRIPT_HAN : script;
}

std::string to_normal_form(NormalForm form, const std::string& text) {
  static const auto kKnown = set_of("[:age=9.0:]");
  UErrorCode error = U_ZERO_ERROR;
  const icu::FilteredNormalizer2 filtered(plain_normalizer(form, error), kKnown);
  const icu::Normalizer2& normalizer = filtered;
  const auto wide = normalizer.normalize(icu::UnicodeString::fromUTF8(text), error);
  CHECK(U_SUCCESS(error));
  std::string out;
  wide.toUTF8String(out);
  return out;
}

}  // namespace redoubt::engine::tokenizer
