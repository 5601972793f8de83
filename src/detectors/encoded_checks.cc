// SPDX-License-Identifier: Apache-2.0
//
// Checks of values that are encoded: wallets, tokens, addresses.
#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "base/json.h"
#include "crypto/hash.h"
#include "detectors/checksums.h"
#include "detectors/numbers.h"

namespace redoubt::detectors {
namespace {

bool is_base58check(std::string_view text) {
  constexpr std::string_view kAlphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
  std::array<std::uint8_t, 25> bytes{};
  for (const char c : text) {
    const auto value = kAlphabet.find(c);
    if (value == kAlphabet.npos) return false;
    auto carry = static_cast<unsigned>(value);
    for (auto at = bytes.rbegin(); at != bytes.rend(); ++at) {
      carry += *at * 58u;
      *at = static_cast<std::uint8_t>(carry & 0xff);
      carry >>= 8;
    }
    if (carry != 0) return false;
  }
  const Digest once = crypto::sha256(ByteView(bytes.data(), 21));
  const Digest twice = crypto::sha256(ByteView(once.value.data(), once.value.size()));
  return std::equal(bytes.begin() + 21, bytes.end(), twice.value.begin());
}

std::uint32_t bech32_step(std::uint32_t check, std::uint32_t value) {
  constexpr std::uint32_t kGenerator[] = {0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3};
  const std::uint32_t top = check >> 25;
  check = (check & 0x1ffffff) << 5 ^ value;
  for (int i = 0; i < 5; ++i) check ^= (top >> i & 1) != 0 ? kGenerator[i] : 0;
  return check;
}

// BIP 173 and 350, of addresses on Bitcoin's main chain.
bool is_bech32(std::string_view text) {
  constexpr std::string_view kAlphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const bool mixed = std::any_of(text.begin(), text.end(), [](unsigned char c) { return std::isupper(c); }) && std::any_of(text.begin(), text.end(), [](unsigned char c) { return std::islower(c); });
  if (mixed || !lower.starts_with("bc1") || lower.size() < 14) return false;
  std::uint32_t check = 1;
  for (const std::uint32_t value : {'b' >> 5, 'c' >> 5, 0, 'b' & 31, 'c' & 31}) check = bech32_step(check, value);
  for (const char c : lower.substr(3)) {
    const auto value = kAlphabet.find(c);
    if (value == kAlphabet.npos) return false;
    check = bech32_step(check, static_cast<std::uint32_t>(value));
  }
  return check == 1 || check == 0x2bc830a3;
}

// ITU E.164: the calling codes that are given out.
constexpr int kCallingCodes[] = {1,   7,   20,  27,  30,  31,  32,  33,  34,  36,  39,  40,  41,  43,  44,  45,  46,  47,  48,  49,  51,  52,  53,  54,  55,  56,  57,  58,  60,  61,  62,  63,
                                 64,  65,  66,  81,  82,  84,  86,  90,  91,  92,  93,  94,  95,  98,  211, 212, 213, 216, 218, 220, 221, 222, 223, 224, 225, 226, 227, 228, 229, 230, 231, 232,
                                 233, 234, 235, 236, 237, 238, 239, 240, 241, 242, 243, 244, 245, 246, 247, 248, 249, 250, 251, 252, 253, 254, 255, 256, 257, 258, 260, 261, 262, 263, 264, 265,
                                 266, 267, 268, 269, 290, 291, 297, 298, 299, 350, 351, 352, 353, 354, 355, 356, 357, 358, 359, 370, 371, 372, 373, 374, 375, 376, 377, 378, 380, 381, 382, 383,
                                 385, 386, 387, 389, 420, 421, 423, 500, 501, 502, 503, 504, 505, 506, 507, 508, 509, 590, 591, 592, 593, 594, 595, 596, 597, 598, 599, 670, 672, 673, 674, 675,
                                 676, 677, 678, 679, 680, 681, 682, 683, 685, 686, 687, 688, 689, 690, 691, 692, 800, 808, 850, 852, 853, 855, 856, 870, 878, 880, 881, 882, 883, 886, 888, 960,
                                 961, 962, 963, 964, 965, 966, 967, 968, 970, 971, 972, 973, 974, 975, 976, 977, 979, 992, 993, 994, 995, 996, 998};

// The calling code's digits, or 0.
std::size_t calling_code_digits(std::string_view digits) {
  for (std::size_t count = 1; count <= 3 && count < digits.size(); ++count) {
    const int code = std::stoi(std::string(digits.substr(0, count)));
    if (std::binary_search(std::begin(kCallingCodes), std::end(kCallingCodes), code)) return count;
  }
  return 0;
}

// The longest start that ends with a run of digits and is a number, as `is_number` says of its digits and runs; 0 where none is.
template <class IsNumber>
std::size_t longest_number(std::string_view value, IsNumber is_number) {
  std::string digits;
  std::size_t runs = 0, found = 0;
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (!is_digit(value[i])) continue;
    digits.push_back(value[i]);
    if (i + 1 < value.size() && is_digit(value[i + 1])) continue;
    const bool in_parentheses = i + 1 < value.size() && value[i + 1] == ')';
    if (is_number(digits, ++runs)) found = i + (in_parentheses ? 2 : 1);
  }
  return found;
}

}  // namespace

// "logo@2x.png" is a picture for a screen of twice the density.
std::size_t mail_length(const Candidate& candidate) {
  constexpr std::string_view kFiles[] = {"png", "jpg", "jpeg", "gif", "svg", "webp", "avif", "bmp", "ico", "css", "scss", "js", "json", "html", "xml", "pdf", "txt", "tgz", "gz"};
  std::string end(candidate.value().substr(candidate.value().rfind('.') + 1));
  std::transform(end.begin(), end.end(), end.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return std::find(std::begin(kFiles), std::end(kFiles), end) == std::end(kFiles) ? candidate.length : 0;
}

std::size_t wallet_length(const Candidate& candidate) {
  const auto value = candidate.value();
  const bool base58 = (value[0] == '1' || value[0] == '3') && value.size() <= 35;
  return (base58 && is_base58check(value)) || is_bech32(value) ? value.size() : 0;
}

std::size_t ipv6_length(const Candidate& candidate) {
  std::string value(candidate.value());
  in6_addr address;
  if (inet_pton(AF_INET6, value.c_str(), &address) != 1) return 0;
  const bool colons_only = value.find_first_not_of(":") == value.npos;  // "::" stands in C++ and in slices
  const bool short_word = std::count(value.begin(), value.end(), ':') == 2 && value.size() < 6 && value != "::1";  // "a::b"
  return colons_only || short_word ? 0 : value.size();
}

std::size_t international_length(const Candidate& candidate) {
  const std::size_t length = phone_length({candidate.text, candidate.offset + 2, candidate.length - 2});
  return length > 0 ? length + 2 : 0;
}

// A number may run on into the next one, or into what else stands behind it.
std::size_t phone_length(const Candidate& candidate) {
  return longest_number(candidate.value(), [](const std::string& digits, std::size_t runs) {
    const std::size_t code = calling_code_digits(digits);
    if (code == 0 || digits.size() > 15) return false;
    const std::size_t national = digits.size() - code;
    if (digits[0] == '1') return national == 10 && runs <= 5 && digits[1] >= '2' && digits[4] >= '2';
    return national >= (code == 3 ? 6u : 7u);  // Greenland, Andorra and their like have six
  });
}

std::size_t national_phone_length(const Candidate& candidate) {
  return longest_number(candidate.value(), [](const std::string& digits, std::size_t) { return digits.size() >= 7 && digits.size() <= 13 && entropy_of(digits) > 1.0; });
}

std::size_t jwt_length(const Candidate& candidate) {
  const auto value = candidate.value();
  const auto bytes = from_base64url(value.substr(0, value.find('.')));
  const auto header = bytes ? parse_json(to_text(*bytes), "", {.bytes_max = 1 << 16}) : Result<Json>(Json());
  return header && header->is_object() && (header->contains("alg") || header->contains("typ") || header->contains("enc")) ? value.size() : 0;
}

// A token in base64 once more, as a Kubernetes secret has it.
std::size_t base64_jwt_length(const Candidate& candidate) {
  const auto bytes = from_base64url(candidate.value().substr(0, candidate.value().find('=')));
  const std::string token = bytes ? to_text(*bytes) : "";
  return std::count(token.begin(), token.end(), '.') >= 2 && jwt_length({token, 0, token.size()}) > 0 ? candidate.length : 0;
}

std::size_t discord_length(const Candidate& candidate) {
  const auto value = candidate.value();
  const auto bytes = from_base64url(value.substr(0, value.find('.')));
  const std::string user = bytes ? to_text(*bytes) : "";
  return user.size() >= 17 && std::all_of(user.begin(), user.end(), [](unsigned char c) { return std::isdigit(c); }) ? value.size() : 0;
}

std::size_t basic_length(const Candidate& candidate) {
  const auto bytes = from_base64(candidate.value());
  const std::string plain = bytes ? to_text(*bytes) : "";
  const auto colon = plain.find(':');
  const bool printable = std::all_of(plain.begin(), plain.end(), [](unsigned char c) { return std::isprint(c); });
  return printable && colon != plain.npos && colon > 0 && colon + 1 < plain.size() ? candidate.length : 0;
}

}  // namespace redoubt::detectors
