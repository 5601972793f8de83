// SPDX-License-Identifier: Apache-2.0
#include "crypto/totp.h"

#include <gtest/gtest.h>

namespace redoubt::crypto {
namespace {

TimePoint at(std::int64_t seconds) { return TimePoint{std::chrono::seconds{seconds}}; }

// RFC 4226 appendix D.
TEST(Hotp, gives_the_codes_of_rfc_4226) {
  const Secret secret(std::string_view("12345678901234567890"));
  const char* codes[] = {"755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"};
  for (std::uint64_t counter = 0; counter < 10; ++counter) EXPECT_EQ(hotp(secret, counter), codes[counter]) << counter;
}

// RFC 6238 appendix B, with the seeds of its reference implementation (one as long as each hash).
TEST(Totp, gives_the_codes_of_rfc_6238) {
  const std::string digits = "1234567890";
  const auto seed = [&](std::size_t size) {
    std::string text;
    while (text.size() < size) text += digits;
    return Secret(std::string_view(text).substr(0, size));
  };
  struct Row {
    std::int64_t time;
    const char *sha1, *sha256, *sha512;
  };
  const Row rows[] = {{59, "94287082", "46119246", "90693936"},          {1111111109, "07081804", "68084774", "25091201"},
                      {1111111111, "14050471", "67062674", "99943326"},  {1234567890, "89005924", "91819424", "93441116"},
                      {2000000000, "69279037", "90698825", "38618901"},  {20000000000, "65353130", "77737706", "47863826"}};
  for (const auto& row : rows) {
    const auto counter = totp_counter(at(row.time));
    EXPECT_EQ(hotp(seed(20), counter, TotpHash::sha1, 8), row.sha1) << row.time;
    EXPECT_EQ(hotp(seed(32), counter, TotpHash::sha256, 8), row.sha256) << row.time;
    EXPECT_EQ(hotp(seed(64), counter, TotpHash::sha512, 8), row.sha512) << row.time;
  }
}

TEST(Totp, takes_one_step_before_and_after_and_no_more) {
  const Secret secret(std::string_view("12345678901234567890"));
  const TimePoint now = at(1'111'111'111);
  const auto counter = totp_counter(now);
  for (int offset = -3; offset <= 3; ++offset) {
    const auto code = hotp(secret, counter + static_cast<std::uint64_t>(static_cast<std::int64_t>(offset)));
    const auto found = match_totp(secret, code, now);
    EXPECT_EQ(found.has_value(), offset >= -1 && offset <= 1) << offset;
    if (found) {
      EXPECT_EQ(*found, counter + static_cast<std::uint64_t>(static_cast<std::int64_t>(offset)));
    }
  }
}

TEST(Totp, is_no_other_text) {
  const Secret secret(std::string_view("12345678901234567890"));
  const TimePoint now = at(59);
  const auto code = hotp(secret, totp_counter(now));
  ASSERT_TRUE(match_totp(secret, code, now));
  for (const auto& other : {std::string(), code.substr(1), code + "0", " " + code, std::string("abcdef"), std::string(1 << 16, '1')}) EXPECT_FALSE(match_totp(secret, other, now));
  EXPECT_TRUE(match_totp(secret, hotp(secret, 0), at(0)));  // at the edge of time there is no step before
  EXPECT_EQ(totp_counter(at(-100)), 0u);
}

// RFC 4648 section 10, without its padding.
TEST(Base32, is_that_of_rfc_4648) {
  const std::pair<const char*, const char*> vectors[] = {{"", ""}, {"f", "MY"}, {"fo", "MZXQ"}, {"foo", "MZXW6"}, {"foob", "MZXW6YQ"}, {"fooba", "MZXW6YTB"}, {"foobar", "MZXW6YTBOI"}};
  for (const auto& [plain, encoded] : vectors) EXPECT_EQ(to_base32(view_of(plain)), encoded);
}

TEST(Totp, uri_is_what_authenticator_apps_read) {
  const Secret secret(std::string_view("12345678901234567890"));
  const auto uri = otpauth_uri(secret, "Redoubt", "operator@a b");
  EXPECT_EQ(to_text(uri.reveal(SecretAccess::for_user())),
            "otpauth://totp/Redoubt:operator%40a%20b?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Redoubt&algorithm=SHA1&digits=6&period=30");
}

}  // namespace
}  // namespace redoubt::crypto
