// SPDX-License-Identifier: Apache-2.0
//
// One-time passwords: HOTP (RFC 4226) and, over time steps, TOTP (RFC 6238). A code proves that somebody holds the shared secret
// at this minute; who keeps codes from being used twice, and counts wrong ones, is the caller (RFC 6238 section 5.2).
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/secret.h"

namespace redoubt::crypto {

enum class TotpHash { sha1, sha256, sha512 };

// What authenticator apps take without being told: SHA-1, six digits, thirty seconds.
struct TotpOptions {
  TotpHash hash = TotpHash::sha1;
  int digits = 6;  // 6 to 8
  std::chrono::seconds step{30};
};

constexpr std::size_t kTotpSecretBytes = 20;  // as long as SHA-1's output (RFC 4226 section 4, R6)

// The code of a counter, with its leading zeros.
std::string hotp(const Secret& secret, std::uint64_t counter, TotpHash hash = TotpHash::sha1, int digits = 6);
// Which step a time is in. Times before 1970 are step 0.
std::uint64_t totp_counter(TimePoint time, std::chrono::seconds step = std::chrono::seconds(30));

// The counter whose code this is, among those from `window` steps before `now` to `window` after it; nothing when it is none
// of theirs or no code at all. The comparison takes the same time whatever the code.
std::optional<std::uint64_t> match_totp(const Secret& secret, std::string_view code, TimePoint now, int window = 1, const TotpOptions& options = {});

// RFC 4648 section 6, without padding: how authenticator apps are told a secret.
std::string to_base32(ByteView bytes);
// "otpauth://totp/ISSUER:ACCOUNT?secret=...": what a QR code for an authenticator app holds. It holds the secret.
Secret otpauth_uri(const Secret& secret, std::string_view issuer, std::string_view account, const TotpOptions& options = {});

}  // namespace redoubt::crypto
