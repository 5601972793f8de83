// SPDX-License-Identifier: Apache-2.0
#include "engine/tokenizer/regex_sets.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "base/check.h"

namespace redoubt::engine::tokenizer {
namespace {

// Characters that came after Unicode 14 or changed their category, up to Unicode 16.
struct NewCharacters {
  UChar32 first, last;
  std::string_view category;
};
constexpr NewCharacters kNewCharacters[] = {
    {0x897, 0x897, "Mn"}, {0xCF3, 0xCF3, "Mc"}, {0xECE, 0xECE, "Mn"}, {0x1B4E, 0x1B4F, "Po"}, {0x1B7F, 0x1B7F, "Po"},
    {0x1C89, 0x1C89, "Lu"}, {0x1C8A, 0x1C8A, "Ll"}, {0x2427, 0x2429, "So"}, {0x2FFC, 0x2FFF, "So"}, {0x31E4, 0x31E5, "So"},
    {0x31EF, 0x31EF, "So"}, {0xA7CB, 0xA7CC, "Lu"}, {0xA7CD, 0xA7CD, "Ll"}, {0xA7DA, 0xA7DA, "Lu"}, {0xA7DB, 0xA7DB, "Ll"},
    {0xA7DC, 0xA7DC, "Lu"}, {0x105C0, 0x105F3, "Lo"}, {0x10D40, 0x10D49, "Nd"}, {0x10D4A, 0x10D4D, "Lo"}, {0x10D4E, 0x10D4E, "Lm"},
    {0x10D4F, 0x10D4F, "Lo"}, {0x10D50, 0x10D65, "Lu"}, {0x10D69, 0x10D6D, "Mn"}, {0x10D6E, 0x10D6E, "Pd"},
    {0x10D6F, 0x10D6F, "Lm"}, {0x10D70, 0x10D85, "Ll"}, {0x10D8E, 0x10D8F, "Sm"}, {0x10EC2, 0x10EC4, "Lo"},
    {0x10EFC, 0x10EFF, "Mn"}, {0x1123F, 0x11240, "Lo"}, {0x11241, 0x11241, "Mn"}, {0x11380, 0x11389, "Lo"},
    {0x1138B, 0x1138B, "Lo"}, {0x1138E, 0x1138E, "Lo"}, {0x11390, 0x113B5, "Lo"}, {0x113B7, 0x113B7, "Lo"},
    {0x113B8, 0x113BA, "Mc"}, {0x113BB, 0x113C0, "Mn"}, {0x113C2, 0x113C2, "Mc"}, {0x113C5, 0x113C5, "Mc"},
    {0x113C7, 0x113CA, "Mc"}, {0x113CC, 0x113CD, "Mc"}, {0x113CE, 0x113CE, "Mn"}, {0x113CF, 0x113CF, "Mc"},
    {0x113D0, 0x113D0, "Mn"}, {0x113D1, 0x113D1, "Lo"}, {0x113D2, 0x113D2, "Mn"}, {0x113D3, 0x113D3, "Lo"},
    {0x113D4, 0x113D5, "Po"}, {0x113D7, 0x113D8, "Po"}, {0x113E1, 0x113E2, "Mn"}, {0x116D0, 0x116E3, "Nd"},
    {0x1171E, 0x1171E, "Mc"}, {0x11B00, 0x11B09, "Po"}, {0x11BC0, 0x11BE0, "Lo"}, {0x11BE1, 0x11BE1, "Po"},
    {0x11BF0, 0x11BF9, "Nd"}, {0x11F00, 0x11F01, "Mn"}, {0x11F02, 0x11F02, "Lo"}, {0x11F03, 0x11F03, "Mc"},
    {0x11F04, 0x11F10, "Lo"}, {0x11F12, 0x11F33, "Lo"}, {0x11F34, 0x11F35, "Mc"}, {0x11F36, 0x11F3A, "Mn"},
    {0x11F3E, 0x11F3F, "Mc"}, {0x11F40, 0x11F40, "Mn"}, {0x11F41, 0x11F41, "Mc"}, {0x11F42, 0x11F42, "Mn"},
    {0x11F43, 0x11F4F, "Po"}, {0x11F50, 0x11F59, "Nd"}, {0x11F5A, 0x11F5A, "Mn"}, {0x1342F, 0x1342F, "Lo"},
    {0x13439, 0x1343F, "Cf"}, {0x13440, 0x13440, "Mn"}, {0x13441, 0x13446, "Lo"}, {0x13447, 0x13455, "Mn"},
    {0x13460, 0x143FA, "Lo"}, {0x16100, 0x1611D, "Lo"}, {0x1611E, 0x16129, "Mn"}, {0x1612A, 0x1612C, "Mc"},
    {0x1612D, 0x1612F, "Mn"}, {0x16130, 0x16139, "Nd"}, {0x16D40, 0x16D42, "Lm"}, {0x16D43, 0x16D6A, "Lo"},
    {0x16D6B, 0x16D6C, "Lm"}, {0x16D6D, 0x16D6F, "Po"}, {0x16D70, 0x16D79, "Nd"}, {0x18CFF, 0x18CFF, "Lo"},
    {0x1B132, 0x1B132, "Lo"}, {0x1B155, 0x1B155, "Lo"}, {0x1CC00, 0x1CCEF, "So"}, {0x1CCF0, 0x1CCF9, "Nd"},
    {0x1CD00, 0x1CEB3, "So"}, {0x1D2C0, 0x1D2D3, "No"}, {0x1DF25, 0x1DF2A, "Ll"}, {0x1E030, 0x1E06D, "Lm"},
    {0x1E08F, 0x1E08F, "Mn"}, {0x1E4D0, 0x1E4EA, "Lo"}, {0x1E4EB, 0x1E4EB, "Lm"}, {0x1E4EC, 0x1E4EF, "Mn"},
    {0x1E4F0, 0x1E4F9, "Nd"}, {0x1E5D0, 0x1E5ED, "Lo"}, {0x1E5EE, 0x1E5EF, "Mn"}, {0x1E5F0, 0x1E5F0, "Lo"},
    {0x1E5F1, 0x1E5FA, "Nd"}, {0x1E5FF, 0x1E5FF, "Po"}, {0x1F6DC, 0x1F6DC, "So"}, {0x1F774, 0x1F776, "So"},
    {0x1F77B, 0x1F77F, "So"}, {0x1F7D9, 0x1F7D9, "So"}, {0x1F8B2, 0x1F8BB, "So"}, {0x1F8C0, 0x1F8C1, "So"},
    {0x1FA75, 0x1FA77, "So"}, {0x1FA87, 0x1FA89, "So"}, {0x1FA8F, 0x1FA8F, "So"}, {0x1FAAD, 0x1FAAF, "So"},
    {0x1FABB, 0x1FABF, "So"}, {0x1FAC6, 0x1FAC6, "So"}, {0x1FACE, 0x1FACF, "So"}, {0x1FADA, 0x1FADC, "So"},
    {0x1FADF, 0x1FADF, "So"}, {0x1FAE8, 0x1FAE9, "So"}, {0x1FAF7, 0x1FAF8, "So"}, {0x1FBCB, 0x1FBEF, "So"},
    {0x2B739, 0x2B739, "Lo"}, {0x2EBF0, 0x2EE5D, "Lo"}, {0x31350, 0x323AF, "Lo"}};

constexpr std::array<std::string_view, 35> kCategories = {
    "L", "Lu", "Ll", "Lt", "Lm", "Lo", "M", "Mn", "Mc", "Me", "N", "Nd", "Nl", "No", "P", "Pc", "Pd", "Ps",
    "Pe", "Pi", "Pf", "Po", "S", "Sm", "Sc", "Sk", "So", "Z", "Zs", "Zl", "Zp", "C", "Cc", "Cf", "Cn"};
constexpr std::array<std::string_view, 13> kScripts = {"Han", "Hiragana", "Katakana", "Hangul", "Latin", "Greek", "Cyrillic",
                                                       "Arabic", "Hebrew", "Thai", "Devanagari", "Bengali", "Armenian"};
// What came to them after ICU's Unicode 15, up to 16.
struct NewInScript {
  std::string_view script;
  UChar32 first, last;
};
constexpr NewInScript kNewInScripts[] = {{"Han", 0x2EBF0, 0x2EE5D}, {"Latin", 0xA7CB, 0xA7CD}, {"Latin", 0xA7DA, 0xA7DC}, {"Cyrillic", 0x1C89, 0x1C8A},
                                         {"Arabic", 0x897, 0x897}, {"Arabic", 0x10EC2, 0x10EC4}, {"Arabic", 0x10EFC, 0x10EFC}};
constexpr std::pair<std::string_view, std::string_view> kAliases[] = {
    {"letter", "L"}, {"number", "N"}, {"punctuation", "P"}, {"punct", "P"}, {"symbol", "S"}, {"separator", "Z"}, {"mark", "M"},
    {"uppercaseletter", "Lu"}, {"lowercaseletter", "Ll"}, {"decimalnumber", "Nd"}, {"digit", "Nd"}};

std::string hex_of(UChar32 c) {
  char text[16];
  std::snprintf(text, sizeof text, "\\x{%x}", static_cast<unsigned>(c));
  return text;
}

std::string range_of(UChar32 first, UChar32 last) { return hex_of(first) + (last > first ? "-" + hex_of(last) : ""); }

icu::UnicodeSet icu_set(const std::string& pattern) {
  UErrorCode error = U_ZERO_ERROR;
  icu::UnicodeSet set(icu::UnicodeString::fromUTF8(pattern), error);
  CHECK(U_SUCCESS(error));
  return set;
}

CharacterSet category_set(std::string_view name) {
  CharacterSet set{"\\p{" + std::string(name) + "}", icu_set("[:" + std::string(name) + ":]")};
  const bool unassigned = name == "C" || name == "Cn";
  for (const auto& added : kNewCharacters) {
    set.exact.remove(added.first, added.last);
    if (!added.category.starts_with(name)) continue;
    set.exact.add(added.first, added.last);
    set.members += range_of(added.first, added.last);
  }
  // PCRE2 still calls the new characters unassigned.
  return unassigned ? spelt_out(std::move(set.exact)) : set;
}

CharacterSet with_ranges(std::initializer_list<std::pair<UChar32, UChar32>> ranges) {
  CharacterSet set;
  for (const auto& [first, last] : ranges) {
    set.members += range_of(first, last);
    set.exact.add(first, last);
  }
  return set;
}

CharacterSet joined(std::initializer_list<CharacterSet> sets) {
  CharacterSet all;
  for (const auto& set : sets) {
    all.members += set.members;
    all.exact.addAll(set.exact);
  }
  return all;
}

// Oniguruma looks names up without case, spaces, hyphens and underscores.
std::string plain_name(std::string_view name) {
  std::string out;
  for (const char c : name)
    if (c != ' ' && c != '_' && c != '-') out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

}  // namespace

CharacterSet spelt_out(icu::UnicodeSet exact) {
  exact.remove(0xD800, 0xDFFF);
  CharacterSet set;
  for (std::int32_t i = 0; i < exact.getRangeCount(); ++i) set.members += range_of(exact.getRangeStart(i), exact.getRangeEnd(i));
  set.exact = std::move(exact);
  return set;
}

CharacterSet complement_of(const CharacterSet& set) {
  auto other = set.exact;
  other.complement();
  return spelt_out(std::move(other));
}

CharacterSet white_space() {
  return with_ranges({{9, 13}, {0x20, 0x20}, {0x85, 0x85}, {0xA0, 0xA0}, {0x1680, 0x1680}, {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F},
                      {0x205F, 0x205F}, {0x3000, 0x3000}});
}

CharacterSet decimal_digits() { return category_set("Nd"); }

CharacterSet hex_digits() { return with_ranges({{'0', '9'}, {'A', 'F'}, {'a', 'f'}}); }

// Alphabetic, marks, digits and connectors; alone, Oniguruma also takes the small digits and fractions of Latin-1.
CharacterSet word(Stands stands) {
  const auto set = joined({category_set("L"), category_set("M"), category_set("Nd"), category_set("Nl"), category_set("Pc"),
                           with_ranges({{0x24B6, 0x24E9}, {0x1F130, 0x1F149}, {0x1F150, 0x1F169}, {0x1F170, 0x1F189}})});
  return stands == Stands::in_class ? set : joined({set, with_ranges({{0xB2, 0xB3}, {0xB9, 0xB9}, {0xBC, 0xBE}})});
}

std::optional<CharacterSet> property_set(std::string_view name, Stands stands) {
  auto wanted = plain_name(name);
  if (wanted == "space" || wanted == "whitespace") return white_space();
  if (wanted == "word") return word(stands);
  for (const auto& [alias, category] : kAliases)
    if (wanted == alias) wanted = plain_name(category);
  for (const auto category : kCategories)
    if (wanted == plain_name(category)) return category_set(category);
  for (const auto script : kScripts) {
    if (wanted != plain_name(script)) continue;
    auto members = icu_set("[:sc=" + std::string(script) + ":]");
    for (const auto& added : kNewInScripts)
      if (added.script == script) members.add(added.first, added.last);
    return spelt_out(std::move(members));
  }
  return std::nullopt;
}

std::optional<CharacterSet> bracket_set(std::string_view name) {
  if (name == "space") return white_space();
  if (name == "digit") return decimal_digits();
  if (name == "xdigit") return hex_digits();
  if (name == "word") return word(Stands::in_class);
  if (name == "punct") return joined({category_set("P"), category_set("S")});
  return std::nullopt;
}

}  // namespace redoubt::engine::tokenizer
