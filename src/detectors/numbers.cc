// SPDX-License-Identifier: Apache-2.0
#include "detectors/numbers.h"

#include <algorithm>
#include <cctype>
#include <iterator>
#include <string>

namespace redoubt::detectors {
namespace {

struct Issuer {
  int digits;                   // how long the prefix is
  int first_prefix, last_prefix;
  std::size_t length_min, length_max;
};

// From the issuers' published ranges of identification numbers.
constexpr Issuer kIssuers[] = {
    {1, 4, 4, 13, 19},                                                    // Visa
    {2, 51, 55, 16, 16}, {4, 2221, 2720, 16, 16},                         // Mastercard
    {2, 34, 34, 15, 15}, {2, 37, 37, 15, 15},                             // American Express
    {4, 6011, 6011, 16, 19}, {2, 65, 65, 16, 19}, {3, 644, 649, 16, 19},  // Discover
    {4, 3528, 3589, 16, 19},                                              // JCB
    {3, 300, 305, 14, 19}, {2, 36, 36, 14, 19}, {2, 38, 39, 14, 19},      // Diners Club
    {2, 62, 62, 16, 19}, {4, 8100, 8171, 16, 19},                         // UnionPay
    {2, 50, 50, 16, 19}, {2, 56, 58, 16, 19}, {2, 63, 63, 16, 19}, {2, 67, 67, 16, 19},  // Maestro
};

bool is_issued(std::string_view digits) {
  return std::any_of(std::begin(kIssuers), std::end(kIssuers), [&](const Issuer& issuer) {
    const int prefix = std::stoi(std::string(digits.substr(0, static_cast<std::size_t>(issuer.digits))));
    return prefix >= issuer.first_prefix && prefix <= issuer.last_prefix && digits.size() >= issuer.length_min && digits.size() <= issuer.length_max;
  });
}

// Cards are embossed and written as 4-4-4-4 with what is left, 4-6-5, 4-6-4 or 6-13; a row of other numbers is none, however its sum comes out.
class DigitGroups {
 public:
  void add(bool begins) {
    if (begins) {
      bad_ = bad_ || (count_ == 1 && digits_ != 4 && digits_ != 6) || (count_ > 1 && digits_ < kDigitsMin);
      ++count_;
      digits_ = 0;
    }
    ++digits_;
  }
  bool are_of_a_card() const { return count_ == 1 || (!bad_ && digits_ >= kDigitsMin); }

 private:
  static constexpr int kDigitsMin = 3;
  int count_ = 0, digits_ = 0;
  bool bad_ = false;
};

struct Country {
  char code[3];
  unsigned char length;
};

// SWIFT IBAN Registry.
constexpr Country kCountries[] = {
    {"AD", 24}, {"AE", 23}, {"AL", 28}, {"AT", 20}, {"AZ", 28}, {"BA", 20}, {"BE", 16}, {"BG", 22}, {"BH", 22}, {"BI", 27}, {"BR", 29}, {"BY", 28},
    {"CH", 21}, {"CR", 22}, {"CY", 28}, {"CZ", 24}, {"DE", 22}, {"DJ", 27}, {"DK", 18}, {"DO", 28}, {"EE", 20}, {"EG", 29}, {"ES", 24}, {"FI", 18},
    {"FK", 18}, {"FO", 18}, {"FR", 27}, {"GB", 22}, {"GE", 22}, {"GI", 23}, {"GL", 18}, {"GR", 27}, {"GT", 28}, {"HN", 28}, {"HR", 21}, {"HU", 28},
    {"IE", 22}, {"IL", 23}, {"IQ", 23}, {"IS", 26}, {"IT", 27}, {"JO", 30}, {"KW", 30}, {"KZ", 20}, {"LB", 28}, {"LC", 32}, {"LI", 21}, {"LT", 20},
    {"LU", 20}, {"LV", 21}, {"LY", 25}, {"MC", 27}, {"MD", 24}, {"ME", 22}, {"MK", 19}, {"MN", 20}, {"MR", 27}, {"MT", 31}, {"MU", 30}, {"NI", 28},
    {"NL", 18}, {"NO", 15}, {"OM", 23}, {"PK", 24}, {"PL", 28}, {"PS", 29}, {"PT", 25}, {"QA", 29}, {"RO", 24}, {"RS", 22}, {"RU", 33}, {"SA", 24},
    {"SC", 31}, {"SD", 18}, {"SE", 24}, {"SI", 19}, {"SK", 24}, {"SM", 27}, {"SO", 23}, {"ST", 25}, {"SV", 28}, {"TL", 23}, {"TN", 24}, {"TR", 26},
    {"UA", 29}, {"VA", 22}, {"VG", 24}, {"XK", 20}, {"YE", 30}};

}  // namespace

bool passes_luhn(std::string_view text) {
  int sum = 0, count = 0;
  for (auto at = text.rbegin(); at != text.rend(); ++at) {
    if (!is_digit(*at)) continue;
    int digit = *at - '0';
    if (count++ % 2 == 1) digit = digit > 4 ? digit * 2 - 9 : digit * 2;
    sum += digit;
  }
  return count >= 12 && count <= 19 && sum % 10 == 0;
}

bool passes_iban_check(std::string_view text) {
  std::string compact;
  std::copy_if(text.begin(), text.end(), std::back_inserter(compact), [](char c) { return c != ' '; });
  if (compact.size() < 15 || compact.size() > 34) return false;
  int remainder = 0;
  for (std::size_t i = 0; i < compact.size(); ++i) {
    const char c = compact[(i + 4) % compact.size()];
    const int value = is_digit(c) ? c - '0' : c - 'A' + 10;
    remainder = (remainder * (value > 9 ? 100 : 10) + value) % 97;
  }
  return remainder == 1;
}

std::size_t card_length(std::string_view text) {
  std::string digits;
  DigitGroups groups;
  std::size_t found = 0;
  for (std::size_t i = 0; i < text.size() && digits.size() < 19; ++i) {
    if (!is_digit(text[i])) continue;
    digits.push_back(text[i]);
    groups.add(i == 0 || !is_digit(text[i - 1]));
    const bool ends_here = i + 1 == text.size() || !is_digit(text[i + 1]);
    if (ends_here && digits.size() >= 13 && groups.are_of_a_card() && is_issued(digits) && passes_luhn(digits)) found = i + 1;
  }
  return found;
}

std::size_t iban_length(std::string_view text) {
  const auto country = std::find_if(std::begin(kCountries), std::end(kCountries), [&](const Country& c) { return text.starts_with(c.code); });
  if (country == std::end(kCountries)) return 0;
  std::size_t count = 0, at = 0;
  while (at < text.size() && count < country->length) count += text[at++] != ' ';
  const bool ends_here = count == country->length && (at == text.size() || text[at] == ' ');
  return ends_here && passes_iban_check(text.substr(0, at)) ? at : 0;
}

}  // namespace redoubt::detectors
