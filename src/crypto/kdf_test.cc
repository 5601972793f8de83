// SPDX-License-Identifier: Apache-2.0
#include "crypto/kdf.h"

#include <gtest/gtest.h>

namespace redoubt::crypto {
namespace {

std::string hex_of(const Secret& secret) { return to_hex(secret.reveal(SecretAccess::for_crypto())); }

// RFC 5869 appendix A.1.
TEST(Hkdf, matches_rfc_5869_test_1) {
  const Secret ikm(Bytes(22, 0x0b));
  EXPECT_EQ(
      hex_of(hkdf_sha256(ikm, *from_hex("000102030405060708090a0b0c"), "\xf0\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9", 42)),
      "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
}

// RFC 5869 appendix A.3.
TEST(Hkdf, matches_rfc_5869_test_3_without_salt_and_info) {
  EXPECT_EQ(hex_of(hkdf_sha256(Secret(Bytes(22, 0x0b)), {}, "", 42)),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
}

// RFC 7914 section 12.
TEST(Scrypt, matches_rfc_7914) {
  EXPECT_EQ(hex_of(*scrypt(Secret(""), {}, {16, 1, 1}, 64)),
            "77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442"
            "fcd0069ded0948f8326a753a0fc81f17e8d3e0fb2e0d3628cf35e20c38d18906");
  EXPECT_EQ(hex_of(*scrypt(Secret("password"), view_of("NaCl"), {1024, 8, 16}, 64)),
            "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162"
            "2eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640");
  EXPECT_EQ(hex_of(*scrypt(Secret("pleaseletmein"), view_of("SodiumChloride"), {16384, 8, 1}, 64)),
            "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
            "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887");
}

TEST(Scrypt, refuses_a_cost_out_of_bounds) {
  for (const ScryptCost cost :
       {ScryptCost{3, 8, 1}, ScryptCost{8, 8, 1}, ScryptCost{1 << 21, 8, 1}, ScryptCost{1024, 0, 1}, ScryptCost{1024, 17, 1},
        ScryptCost{1024, 8, 0}, ScryptCost{1024, 8, 17}, ScryptCost{1 << 20, 16, 1}}) {
    EXPECT_EQ(check_scrypt_cost(cost).error().code, ErrorCode::invalid_argument);
  }
  EXPECT_TRUE(check_scrypt_cost(ScryptCost{}));
}

}  // namespace
}  // namespace redoubt::crypto
