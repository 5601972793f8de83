// SPDX-License-Identifier: Apache-2.0
#include "detectors/checksums.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <initializer_list>

#include "detectors/numbers.h"

namespace redoubt::detectors {
namespace {

int digit(const std::string& text, std::size_t at) { return text[at] - '0'; }
bool all_digits(std::string_view text) { return std::all_of(text.begin(), text.end(), is_digit); }
bool all_alike(std::string_view text) { return std::all_of(text.begin(), text.end(), [&](char c) { return c == text[0]; }); }
std::size_t whole(const Candidate& candidate, bool is_real) { return is_real ? candidate.length : 0; }

int weighted_sum(const std::string& digits, std::initializer_list<int> weights) {
  int sum = 0;
  std::size_t at = 0;
  for (const int weight : weights) sum += weight * digit(digits, at++);
  return sum;
}

bool luhn(std::string_view digits) {
  int sum = 0;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    int value = digits[digits.size() - 1 - i] - '0';
    if (i % 2 == 1) value = value > 4 ? value * 2 - 9 : value * 2;
    sum += value;
  }
  return sum % 10 == 0;
}

bool is_day(int month, int day) {
  constexpr int kDays[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return month >= 1 && month <= 12 && day >= 1 && day <= kDays[month - 1];
}
int two(const std::string& digits, std::size_t at) { return digit(digits, at) * 10 + digit(digits, at + 1); }

// Verhoeff's check over the dihedral group of order 10.
bool verhoeff(const std::string& digits) {
  constexpr std::uint8_t kProduct[10][10] = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, {1, 2, 3, 4, 0, 6, 7, 8, 9, 5}, {2, 3, 4, 0, 1, 7, 8, 9, 5, 6}, {3, 4, 0, 1, 2, 8, 9, 5, 6, 7},
                                             {4, 0, 1, 2, 3, 9, 5, 6, 7, 8}, {5, 9, 8, 7, 6, 0, 4, 3, 2, 1}, {6, 5, 9, 8, 7, 1, 0, 4, 3, 2}, {7, 6, 5, 9, 8, 2, 1, 0, 4, 3},
                                             {8, 7, 6, 5, 9, 3, 2, 1, 0, 4}, {9, 8, 7, 6, 5, 4, 3, 2, 1, 0}};
  constexpr std::uint8_t kTurn[8][10] = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, {1, 5, 7, 6, 2, 8, 3, 0, 9, 4}, {5, 8, 0, 3, 7, 9, 6, 1, 4, 2}, {8, 9, 1, 6, 0, 4, 3, 5, 2, 7},
                                         {9, 4, 5, 3, 1, 2, 6, 8, 7, 0}, {4, 2, 8, 6, 5, 7, 3, 9, 0, 1}, {2, 7, 9, 3, 8, 0, 6, 4, 1, 5}, {7, 0, 4, 6, 9, 1, 3, 2, 5, 8}};
  std::uint8_t check = 0;
  for (std::size_t i = 0; i < digits.size(); ++i) check = kProduct[check][kTurn[i % 8][digit(digits, digits.size() - 1 - i)]];
  return check == 0;
}

// ISO 7064 MOD 11,10 over digits, the last the check.
bool mod_11_10(const std::string& digits) {
  int product = 10;
  for (std::size_t i = 0; i + 1 < digits.size(); ++i) {
    int sum = (digit(digits, i) + product) % 10;
    if (sum == 0) sum = 10;
    product = sum * 2 % 11;
  }
  return (11 - product) % 10 == digit(digits, digits.size() - 1);
}

// The sum of digits of products with 1, 2, 1, 2, ...
int alternating_digit_sum(const std::string& digits, std::size_t count, int first) {
  int sum = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const int product = digit(digits, i) * (i % 2 == 0 ? first : 3 - first);
    sum += product / 10 + product % 10;
  }
  return sum;
}

int letter_place(char c) { return c - 'A' + 1; }

}  // namespace

std::string compact(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c))) out.push_back(static_cast<char>(std::toupper(static_cast<unsigned char>(c))));
  }
  return out;
}

std::size_t abn_length(const Candidate& candidate) {
  std::string digits = compact(candidate.value());
  if (digits.size() != 11 || digits[0] == '0') return 0;
  --digits[0];
  return whole(candidate, weighted_sum(digits, {10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19}) % 89 == 0);
}

std::size_t acn_length(const Candidate& candidate) {
  const std::string digits = compact(candidate.value());
  return whole(candidate, digits.size() == 9 && !all_alike(digits) && (10 - weighted_sum(digits, {8, 7, 6, 5, 4, 3, 2, 1}) % 10) % 10 == digit(digits, 8));
}

std::size_t tfn_length(const Candidate& candidate) {
  const std::string digits = compact(candidate.value());
  return whole(candidate, digits.size() == 9 && !all_alike(digits) && weighted_sum(digits, {1, 4, 3, 7, 5, 8, 6, 9, 10}) % 11 == 0);
}

std::size_t au_medicare_length(const Candidate& candidate) {
  const std::string digits = compact(candidate.value());
  return whole(candidate, digits.size() >= 10 && weighted_sum(digits, {1, 3, 7, 9, 1, 3, 7, 9}) % 10 == digit(digits, 8));
}

std::size_t nhs_length(const Candidate& candidate) {
  const std::string digits = compact(candidate.value());
  return whole(candidate, digits.size() == 10 && !all_alike(digits) && weighted_sum(digits, {10, 9, 8, 7, 6, 5, 4, 3, 2, 1}) % 11 == 0);
}

std::size_t aadhaar_length(const Candidate& candidate) {
  const std::string digits = compact(candidate.value());
  const std::string backwards(digits.rbegin(), digits.rend());
  return whole(candidate, digits.size() == 12 && digits[0] >= '2' && digits != backwards && verhoeff(digits));
}

std::size_t gstin_length(const Candidate& candidate) {
  constexpr std::string_view kAlphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
  const std::string text = compact(candidate.value());
  if (text.size() != 15) return 0;
  std::size_t sum = 0;
  for (std::size_t i = 0; i < 14; ++i) {
    const std::size_t product = kAlphabet.find(text[i]) * (i % 2 + 1);
    sum += product / 36 + product % 36;
  }
  return whole(candidate, two(text, 0) >= 1 && two(text, 0) <= 38 && kAlphabet[(36 - sum % 36) % 36] == text[14]);
}

std::size_t nif_length(const Candidate& candidate) {
  std::string text = compact(candidate.value());
  if (text[0] >= 'X' && text[0] <= 'Z') text[0] = static_cast<char>('0' + (text[0] - 'X'));
  const std::string_view digits = std::string_view(text).substr(0, text.size() - 1);
  if (text.size() < 8 || text.size() > 9 || !all_digits(digits)) return 0;
  return whole(candidate, "TRWAGMYFPDXBNJZSQVHLCKE"[std::stoul(std::string(digits)) % 23] == text.back());
}

std::size_t fiscal_code_length(const Candidate& candidate) {
  constexpr int kOdd[] = {1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23};
  const std::string text = compact(candidate.value());
  if (text.size() != 16) return 0;
  int sum = 0;
  for (std::size_t i = 0; i < 15; ++i) {
    const int value = is_digit(text[i]) ? text[i] - '0' : text[i] - 'A';
    sum += i % 2 == 0 ? kOdd[value] : value;
  }
  return whole(candidate, text[15] == static_cast<char>('A' + sum % 26));
}

std::size_t it_vat_length(const Candidate& candidate) {
  const std::string text = compact(candidate.value()), digits = text.starts_with("IT") ? text.substr(2) : text;
  if (digits.size() != 11 || digits.starts_with("0000000")) return 0;
  const int province = std::stoi(digits.substr(7, 3));
  return whole(candidate, ((province >= 1 && province <= 100) || province == 120 || province == 121 || province == 888 || province == 999) && luhn(digits));
}

std::size_t pesel_length(const Candidate& candidate) {
  const std::string digits = compact(candidate.value());
  if (digits.size() != 11 || !is_day(two(digits, 2) % 20, two(digits, 4))) return 0;
  return whole(candidate, weighted_sum(digits, {1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1}) % 10 == 0);
}

std::size_t nric_length(const Candidate& candidate) {
  const std::string text = compact(candidate.value());
  if (text.size() != 9) return 0;
  const std::string digits = text.substr(1, 7);
  int sum = weighted_sum(digits, {2, 7, 6, 5, 4, 3, 2});
  if (text[0] == 'T' || text[0] == 'G') sum += 4;
  if (text[0] == 'M') sum += 3;
  const bool citizen = text[0] == 'S' || text[0] == 'T';
  const char* letters = citizen ? "JZIHGFEDCBA" : text[0] == 'M' ? "KLJNPQRTUWX" : "XWUTRQPNMLK";
  const int place = text[0] == 'M' ? 10 - sum % 11 : sum % 11;
  return whole(candidate, letters[place] == text[8]);
}

std::size_t sin_length(const Candidate& candidate) {
  const std::string digits = compact(candidate.value());
  return whole(candidate, digits.size() == 9 && digits[0] != '0' && digits[0] != '8' && !all_alike(digits) && luhn(digits));
}

std::size_t personnummer_length(const Candidate& candidate) {
  std::string digits = compact(candidate.value());
  if (digits.size() == 12) digits.erase(0, 2);
  if (digits.size() != 10) return 0;
  const int day = two(digits, 4) > 60 ? two(digits, 4) - 60 : two(digits, 4);  // a coordination number adds 60
  return whole(candidate, is_day(two(digits, 2), day) && luhn(digits));
}

std::size_t hetu_length(const Candidate& candidate) {
  const std::string_view value = candidate.value();
  const std::string digits = std::string(value.substr(0, 6)) + std::string(value.substr(7, 3));
  if (!all_digits(digits) || !is_day(two(digits, 2), two(digits, 0))) return 0;
  return whole(candidate, "0123456789ABCDEFHJKLMNPRSTUVWXY"[std::stoul(digits) % 31] == std::toupper(static_cast<unsigned char>(value.back())));
}

std::size_t rrn_length(const Candidate& candidate) {
  const std::string digits = compact(candidate.value());
  if (digits.size() != 13 || !is_day(two(digits, 2), two(digits, 4))) return 0;
  return whole(candidate, (11 - weighted_sum(digits, {2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5}) % 11) % 10 == digit(digits, 12));
}

std::size_t frn_length(const Candidate& candidate) {
  const std::string digits = compact(candidate.value());
  if (digits.size() != 13 || !is_day(two(digits, 2), two(digits, 4))) return 0;
  return whole(candidate, (13 - weighted_sum(digits, {2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5}) % 11) % 10 == digit(digits, 12));
}

std::size_t ng_nin_length(const Candidate& candidate) {
  const std::string digits = compact(candidate.value());
  return whole(candidate, digits.size() == 11 && !all_alike(digits) && verhoeff(digits));
}

std::size_t ph_tin_length(const Candidate& candidate) {
  const std::string digits = compact(candidate.value());
  return whole(candidate, (digits.size() == 9 || digits.size() == 12) && !all_alike(digits) && weighted_sum(digits, {9, 8, 7, 6, 5, 4, 3, 2}) % 11 == digit(digits, 8));
}

std::size_t kr_brn_length(const Candidate& candidate) {
  const std::string digits = compact(candidate.value());
  if (digits.size() != 10) return 0;
  const int sum = weighted_sum(digits, {1, 3, 7, 1, 3, 7, 1, 3, 5}) + digit(digits, 8) * 5 / 10;
  return whole(candidate, (10 - sum % 10) % 10 == digit(digits, 9));
}

std::size_t tnin_length(const Candidate& candidate) {
  const std::string digits = compact(candidate.value());
  return whole(candidate, digits.size() == 13 && digits[0] != '0' && !all_alike(digits) &&
                              (11 - weighted_sum(digits, {13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2}) % 11) % 10 == digit(digits, 12));
}

std::size_t tr_id_length(const Candidate& candidate) {
  const std::string digits = compact(candidate.value());
  if (digits.size() != 11 || digits[0] == '0') return 0;
  const int odd = weighted_sum(digits, {1, 0, 1, 0, 1, 0, 1, 0, 1}), even = weighted_sum(digits, {0, 1, 0, 1, 0, 1, 0, 1});
  return whole(candidate, ((odd * 7 - even) % 10 + 10) % 10 == digit(digits, 9) && (odd + even + digit(digits, 9)) % 10 == digit(digits, 10));
}

std::size_t za_id_length(const Candidate& candidate) {
  const std::string digits = compact(candidate.value());
  return whole(candidate, digits.size() == 13 && is_day(two(digits, 2), two(digits, 4)) && digits[10] <= '2' && luhn(digits));
}

std::size_t steuer_id_length(const Candidate& candidate) {
  const std::string digits = compact(candidate.value());
  if (digits.size() != 11 || digits[0] == '0') return 0;
  std::array<int, 10> counts{};
  for (std::size_t i = 0; i < 10; ++i) ++counts[static_cast<std::size_t>(digit(digits, i))];
  // Of the first ten digits one stands twice or three times, the others once.
  const auto repeated = std::count_if(counts.begin(), counts.end(), [](int count) { return count > 1; });
  return whole(candidate, repeated == 1 && *std::max_element(counts.begin(), counts.end()) <= 3 && mod_11_10(digits));
}

std::size_t rvnr_length(const Candidate& candidate) {
  const std::string text = compact(candidate.value());
  if (text.size() != 12 || !std::isupper(static_cast<unsigned char>(text[8]))) return 0;
  const int place = letter_place(text[8]);
  std::string digits = text.substr(0, 8) + static_cast<char>('0' + place / 10) + static_cast<char>('0' + place % 10) + text.substr(9, 2);
  constexpr int kWeights[] = {2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1};
  int sum = 0;
  for (std::size_t i = 0; i < 12; ++i) {
    const int product = digit(digits, i) * kWeights[i];
    sum += product / 10 + product % 10;
  }
  const int day = two(text, 2) > 50 ? two(text, 2) - 50 : two(text, 2);
  return whole(candidate, is_day(two(text, 4), day) && sum % 10 == digit(text, 11));
}

std::size_t kvnr_length(const Candidate& candidate) {
  const std::string text = compact(candidate.value());
  if (text.size() != 10) return 0;
  const int place = letter_place(text[0]);
  const std::string digits = std::string{static_cast<char>('0' + place / 10), static_cast<char>('0' + place % 10)} + text.substr(1, 8);
  return whole(candidate, alternating_digit_sum(digits, 10, 1) % 10 == digit(text, 9));
}

std::size_t de_document_length(const Candidate& candidate) {
  constexpr int kWeights[] = {7, 3, 1};
  const std::string text = compact(candidate.value());
  int sum = 0;
  for (std::size_t i = 0; i + 1 < text.size(); ++i) sum += (is_digit(text[i]) ? text[i] - '0' : text[i] - 'A' + 10) * kWeights[i % 3];
  return whole(candidate, (text.size() == 9 || text.size() == 10) && sum % 10 == digit(text, text.size() - 1));
}

// Cards of before 2010 have T and eight digits without a check.
std::size_t de_id_card_length(const Candidate& candidate) {
  const auto value = candidate.value();
  return value[0] == 'T' && value.size() == 9 && all_digits(value.substr(1)) ? candidate.length : de_document_length(candidate);
}

std::size_t dea_length(const Candidate& candidate) {
  const std::string digits = compact(candidate.value()).substr(2);
  return whole(candidate, digits.size() == 7 && weighted_sum(digits, {1, 2, 1, 2, 1, 2}) % 10 == digit(digits, 6));
}

std::size_t npi_length(const Candidate& candidate) {
  const std::string digits = compact(candidate.value());
  return whole(candidate, digits.size() == 10 && !all_alike(digits) && luhn("80840" + digits));
}

std::size_t aba_length(const Candidate& candidate) {
  const std::string digits = compact(candidate.value());
  if (digits.size() != 9 || all_alike(digits)) return 0;
  const int start = two(digits, 0);
  const bool given = start <= 12 || (start >= 21 && start <= 32) || (start >= 61 && start <= 72) || start == 80;
  return whole(candidate, given && weighted_sum(digits, {3, 7, 1, 3, 7, 1, 3, 7, 1}) % 10 == 0);
}

std::size_t ssn_length(const Candidate& candidate) {
  const std::string digits = compact(candidate.value());
  const bool never = digits.starts_with("000") || digits.starts_with("666") || digits[0] == '9' || digits.substr(3, 2) == "00" || digits.substr(5) == "0000";
  return whole(candidate, digits.size() == 9 && !never && !all_alike(digits) && digits != "123456789" && digits != "987654320");
}

std::size_t mac_length(const Candidate& candidate) {
  const std::string text = compact(candidate.value());
  return whole(candidate, text.size() == 12 && !all_alike(text));
}

std::size_t ethereum_length(const Candidate& candidate) { return whole(candidate, entropy_of(candidate.value().substr(2)) > 2.5); }
std::size_t card_number_length(const Candidate& candidate) { return card_length(candidate.value()); }

// Written in groups or not, in capitals or not.
std::size_t iban_number_length(const Candidate& candidate) {
  std::string text(candidate.value());
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return c == '-' ? ' ' : static_cast<char>(std::toupper(c)); });
  return iban_length(text);
}

}  // namespace redoubt::detectors
