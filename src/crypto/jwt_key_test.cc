// SPDX-License-Identifier: Apache-2.0
//
// Keys and signatures of RFC 7515 appendices A.2 and A.3 and of RFC 8037 appendix A.4.
#include "crypto/jwt_key.h"

#include <gtest/gtest.h>

namespace redoubt::crypto {
namespace {

const Json kRsa = {{"kty", "RSA"},
                   {"n", "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-"
                         "bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"},
                   {"e", "AQAB"}};
const Json kEc = {{"kty", "EC"}, {"crv", "P-256"}, {"x", "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"}, {"y", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}};
const Json kEd = {{"kty", "OKP"}, {"crv", "Ed25519"}, {"x", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}};
const std::string kClaims = ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
const std::string kRsaSignature =
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_"
    "dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
const std::string kEcSignature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
const std::string kEdSignature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

bool verify(const Json& jwk, JwtAlgorithm algorithm, const std::string& message, const std::string& signature) {
  return JwtKey::from_jwk(jwk)->verify(algorithm, view_of(message), *from_base64url(signature));
}

TEST(JwtKey, the_rfcs_signatures_verify_and_no_other) {
  EXPECT_TRUE(verify(kRsa, JwtAlgorithm::rs256, "eyJhbGciOiJSUzI1NiJ9" + kClaims, kRsaSignature));
  EXPECT_TRUE(verify(kEc, JwtAlgorithm::es256, "eyJhbGciOiJFUzI1NiJ9" + kClaims, kEcSignature));
  EXPECT_TRUE(verify(kEd, JwtAlgorithm::eddsa, "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc", kEdSignature));
  EXPECT_FALSE(verify(kRsa, JwtAlgorithm::rs256, "eyJhbGciOiJSUzI1NiJ9" + kClaims + "a", kRsaSignature));
  EXPECT_FALSE(verify(kEc, JwtAlgorithm::es256, "eyJhbGciOiJFUzI1NiJ9" + kClaims + "a", kEcSignature));
}

TEST(JwtKey, a_key_verifies_its_own_algorithms_alone) {
  for (const auto algorithm : {JwtAlgorithm::ps256, JwtAlgorithm::rs512, JwtAlgorithm::es256, JwtAlgorithm::eddsa})
    EXPECT_FALSE(verify(kRsa, algorithm, "eyJhbGciOiJSUzI1NiJ9" + kClaims, kRsaSignature));
  for (const auto algorithm : {JwtAlgorithm::es384, JwtAlgorithm::eddsa, JwtAlgorithm::rs256})
    EXPECT_FALSE(verify(kEc, algorithm, "eyJhbGciOiJFUzI1NiJ9" + kClaims, kEcSignature));
  for (const char* name : {"none", "None", "HS256", "HS512", "rs256", "RS256 ", ""}) EXPECT_FALSE(parse_jwt_algorithm(name)) << name;
}

TEST(JwtKey, weak_private_and_malformed_keys_are_refused) {
  const auto with = [](Json jwk, const char* name, const Json& value) {
    jwk[name] = value;
    return JwtKey::from_jwk(jwk).has_value();
  };
  EXPECT_FALSE(with(kRsa, "n", kRsa["n"].get<std::string>().substr(0, 170)));
  EXPECT_FALSE(with(kRsa, "e", "AQ"));
  EXPECT_FALSE(with(kRsa, "d", "AQAB"));
  EXPECT_FALSE(with(kEc, "x", kEc["y"]));
  EXPECT_FALSE(with(kEc, "crv", "secp256k1"));
  EXPECT_FALSE(with(kEc, "y", 5));
  EXPECT_FALSE(with(kEd, "x", "AA"));
  EXPECT_FALSE(JwtKey::from_jwk({{"kty", "oct"}, {"k", "AAAA"}}));
  EXPECT_FALSE(JwtKey::from_jwk(Json::array()));
}

}  // namespace
}  // namespace redoubt::crypto
