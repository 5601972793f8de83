// SPDX-License-Identifier: Apache-2.0
#include "crypto/totp.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>

#include "base/check.h"

namespace redoubt::crypto {
namespace {

const EVP_MD* method_of(TotpHash hash) {
  switch (hash) {
    case TotpHash::sha1: return EVP_sha1();
    case TotpHash::sha256: return EVP_sha256();
    case TotpHash::sha512: return EVP_sha512();
  }
  return nullptr;
}

const char* name_of(TotpHash hash) {
  switch (hash) {
    case TotpHash::sha1: return "SHA1";
    case TotpHash::sha256: return "SHA256";
    case TotpHash::sha512: return "SHA512";
  }
  return "";
}

// RFC 3986: what is unreserved stands for itself.
std::string percent_encoded(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
    if (plain) out += c;
    else out += "%" + to_hex(view_of(std::string(1, c)));
  }
  return out;
}

}  // namespace

std::string hotp(const Secret& secret, std::uint64_t counter, TotpHash hash, int digits) {
  CHECK(digits >= 6 && digits <= 8);
  std::array<std::uint8_t, 8> message{};
  for (int i = 0; i < 8; ++i) message[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(counter >> (56 - 8 * i));
  std::array<std::uint8_t, 64> mac{};
  unsigned size = 0;
  const ByteView key = secret.reveal(SecretAccess::for_crypto());
  CHECK(HMAC(method_of(hash), key.data(), static_cast<int>(key.size()), message.data(), message.size(), mac.data(), &size) != nullptr);
  const std::size_t at = mac[size - 1] & 0x0f;  // RFC 4226 section 5.3
  const std::uint32_t number = ((mac[at] & 0x7fu) << 24) | (std::uint32_t{mac[at + 1]} << 16) | (std::uint32_t{mac[at + 2]} << 8) | mac[at + 3];
  std::uint32_t modulus = 1;
  for (int i = 0; i < digits; ++i) modulus *= 10;
  std::string code = std::to_string(number % modulus);
  return std::string(static_cast<std::size_t>(digits) - code.size(), '0') + code;
}

std::uint64_t totp_counter(TimePoint time, std::chrono::seconds step) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time).time_since_epoch();
  return seconds.count() <= 0 ? 0 : static_cast<std::uint64_t>(seconds / step);
}

std::optional<std::uint64_t> match_totp(const Secret& secret, std::string_view code, TimePoint now, int window, const TotpOptions& options) {
  const std::uint64_t middle = totp_counter(now, options.step);
  std::optional<std::uint64_t> found;
  for (int offset = -window; offset <= window; ++offset) {
    if (offset < 0 && middle < static_cast<std::uint64_t>(-offset)) continue;
    const std::uint64_t counter = middle + static_cast<std::uint64_t>(static_cast<std::int64_t>(offset));
    if (equal_constant_time(view_of(hotp(secret, counter, options.hash, options.digits)), view_of(code))) found = counter;
  }
  return found;
}

std::string to_base32(ByteView bytes) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  std::string out;
  std::uint32_t buffer = 0;
  int bits = 0;
  for (const std::uint8_t byte : bytes) {
    buffer = (buffer << 8) | byte;
    for (bits += 8; bits >= 5; bits -= 5) out += kAlphabet[(buffer >> (bits - 5)) & 31];
  }
  if (bits > 0) out += kAlphabet[(buffer << (5 - bits)) & 31];
  return out;
}

Secret otpauth_uri(const Secret& secret, std::string_view issuer, std::string_view account, const TotpOptions& options) {
  std::string text = "otpauth://totp/" + percent_encoded(issuer) + ":" + percent_encoded(account) + "?secret=" + to_base32(secret.reveal(SecretAccess::for_user())) +
                     "&issuer=" + percent_encoded(issuer) + "&algorithm=" + name_of(options.hash) + "&digits=" + std::to_string(options.digits) +
                     "&period=" + std::to_string(options.step.count());
  Secret uri{std::string_view(text)};
  wipe_memory({reinterpret_cast<std::uint8_t*>(text.data()), text.size()});
  return uri;
}

}  // namespace redoubt::crypto
