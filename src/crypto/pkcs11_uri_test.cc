// SPDX-License-Identifier: Apache-2.0
//
// A real token (SoftHSM) signs in tests/oracle/model_signing_test.py.
#include "crypto/pkcs11.h"

#include <gtest/gtest.h>

namespace redoubt::crypto {
namespace {

TEST(Pkcs11Uri, names_a_key_as_rfc_7512_writes_it) {
  const auto uri = parse_pkcs11_uri("pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil;object=my-certificate;id=%69%95%3E;slot-id=7?module-path=/usr/lib/x.so&pin-source=file:/etc/token");
  ASSERT_TRUE(uri) << uri.error().message;
  EXPECT_EQ(uri->token, "The Software PKCS#11 Softtoken");
  EXPECT_EQ(uri->manufacturer, "Snake Oil");
  EXPECT_EQ(uri->object, "my-certificate");
  EXPECT_EQ(uri->id, (Bytes{0x69, 0x95, 0x3e}));
  EXPECT_EQ(uri->slot, 7u);
  EXPECT_EQ(uri->module_path, "/usr/lib/x.so");
  EXPECT_EQ(uri->pin_file, "/etc/token");
  EXPECT_EQ(parse_pkcs11_uri("pkcs11:object=k?pin-source=file:///etc/token")->pin_file, "/etc/token");
}

TEST(Pkcs11Uri, whatever_is_not_one_is_refused) {
  for (const char* uri : {"", "pkcs11:", "pkcs11:token=a", "https://a", "pkcs11:object=a;object=b", "pkcs11:object=%zz", "pkcs11:object=%0", "pkcs11:object", "pkcs11:object=a;slot-id=x",
                          "pkcs11:object=a;type=cert", "pkcs11:object=a?pin-source=token", "pkcs11:object=a;nonsense=1", "pkcs11:object=a%00b"}) {
    EXPECT_FALSE(parse_pkcs11_uri(uri)) << uri;
  }
  const auto pin = parse_pkcs11_uri("pkcs11:object=a?pin-value=1234");
  ASSERT_FALSE(pin);
  EXPECT_EQ(pin.error().where, "pin-value");
  EXPECT_EQ(pin.error().message.find("1234"), std::string::npos);
}

TEST(Pkcs11, a_module_that_is_none_is_told) {
  auto uri = *parse_pkcs11_uri("pkcs11:object=a?module-path=/absent.so");
  EXPECT_EQ(TokenKey::open(uri, Secret(std::string_view("1234"))).error().code, ErrorCode::not_found);
  uri.module_path = "/proc/self/exe";
  EXPECT_EQ(TokenKey::open(uri, Secret(std::string_view("1234"))).error().code, ErrorCode::invalid_argument);
  uri.module_path = "relative.so";
  EXPECT_EQ(TokenKey::open(uri, Secret(std::string_view("1234"))).error().code, ErrorCode::invalid_argument);
}

TEST(Ecdsa, r_and_s_become_der) {
  Bytes raw(64, 0);
  raw[31] = 1;
  raw[63] = 0x80;
  EXPECT_EQ(to_hex(*ecdsa_der_of(raw)), "300702010102020080");
  EXPECT_FALSE(ecdsa_der_of({}));
  EXPECT_FALSE(ecdsa_der_of(Bytes(63)));
  EXPECT_FALSE(ecdsa_der_of(Bytes(200)));
}

}  // namespace
}  // namespace redoubt::crypto
