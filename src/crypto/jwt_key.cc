// SPDX-License-Identifier: Apache-2.0
#include "crypto/jwt_key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <iterator>

#include "crypto/openssl_handles.h"
#include "crypto/sign.h"

namespace redoubt::crypto {
namespace {

constexpr std::pair<std::string_view, JwtAlgorithm> kAlgorithms[] = {
    {"RS256", JwtAlgorithm::rs256}, {"RS384", JwtAlgorithm::rs384}, {"RS512", JwtAlgorithm::rs512}, {"PS256", JwtAlgorithm::ps256},
    {"PS384", JwtAlgorithm::ps384}, {"PS512", JwtAlgorithm::ps512}, {"ES256", JwtAlgorithm::es256}, {"ES384", JwtAlgorithm::es384},
    {"ES512", JwtAlgorithm::es512}, {"EdDSA", JwtAlgorithm::eddsa}};
constexpr int kRsaBitsMin = 2048, kRsaBitsMax = 8192;

using Builder = std::unique_ptr<OSSL_PARAM_BLD, FreeBy<OSSL_PARAM_BLD_free>>;
using Parameters = std::unique_ptr<OSSL_PARAM, FreeBy<OSSL_PARAM_free>>;

tl::unexpected<Error> bad(const char* what) { return fail(ErrorCode::invalid_argument, what, "JSON Web Key"); }

Result<Bytes> member_bytes(const Json& jwk, const char* name) {
  const auto text = TRY(json_string(jwk, name, "JSON Web Key"));
  return from_base64url(text);
}

Result<EvpKey> rsa_of(const Json& jwk) {
  const auto modulus = TRY(member_bytes(jwk, "n")), exponent = TRY(member_bytes(jwk, "e"));
  const BigNumber n(BN_bin2bn(modulus.data(), static_cast<int>(modulus.size()), nullptr)), e(BN_bin2bn(exponent.data(), static_cast<int>(exponent.size()), nullptr));
  if (!n || !e || BN_num_bits(n.get()) < kRsaBitsMin || BN_num_bits(n.get()) > kRsaBitsMax || BN_num_bits(e.get()) > 64 || !BN_is_odd(e.get()) || BN_is_one(e.get()))
    return bad("an RSA key has 2048 to 8192 bits and an odd exponent");
  const Builder builder(OSSL_PARAM_BLD_new());
  if (!builder || OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get()) != 1 || OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get()) != 1)
    return bad("the RSA key can't be used");
  const Parameters parameters(OSSL_PARAM_BLD_to_param(builder.get()));
  const EvpKeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr));
  EVP_PKEY* key = nullptr;
  const bool made = parameters && context && EVP_PKEY_fromdata_init(context.get()) == 1 && EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, parameters.get()) == 1;
  ERR_clear_error();
  if (!made) return bad("the RSA key can't be used");
  return EvpKey(key);
}

struct JwkCurve {
  std::string_view name;
  SignatureAlgorithm algorithm;
  JwtAlgorithm jwt;
  std::size_t bytes;
};
constexpr JwkCurve kJwkCurves[] = {{"P-256", SignatureAlgorithm::ecdsa_p256, JwtAlgorithm::es256, 32},
                             {"P-384", SignatureAlgorithm::ecdsa_p384, JwtAlgorithm::es384, 48},
                             {"P-521", SignatureAlgorithm::ecdsa_p521, JwtAlgorithm::es512, 66}};

Result<PublicKey> ec_of(const Json& jwk, const JwkCurve& curve) {
  const auto x = TRY(member_bytes(jwk, "x")), y = TRY(member_bytes(jwk, "y"));
  if (x.size() != curve.bytes || y.size() != curve.bytes) return bad("a coordinate has not its curve's length");
  Bytes point{4};
  point.insert(point.end(), x.begin(), x.end());
  point.insert(point.end(), y.begin(), y.end());
  return PublicKey::from_ec_point(curve.algorithm, point);
}

const EVP_MD* digest_of(JwtAlgorithm algorithm) {
  if (algorithm == JwtAlgorithm::rs256 || algorithm == JwtAlgorithm::ps256) return EVP_sha256();
  return algorithm == JwtAlgorithm::rs384 || algorithm == JwtAlgorithm::ps384 ? EVP_sha384() : EVP_sha512();
}

bool verify_rsa(EVP_PKEY* key, JwtAlgorithm algorithm, ByteView message, ByteView signature) {
  const DigestContext context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* options = nullptr;
  bool fits = context && EVP_DigestVerifyInit(context.get(), &options, digest_of(algorithm), nullptr, key) == 1;
  if (fits && algorithm >= JwtAlgorithm::ps256)
    fits = EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) == 1 && EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST) == 1;
  fits = fits && EVP_DigestVerify(context.get(), signature.data(), signature.size(), message.data(), message.size()) == 1;
  ERR_clear_error();
  return fits;
}

}  // namespace

struct JwtKey::Key {
  EvpKey rsa = nullptr;
  std::optional<PublicKey> other = {};
  JwtAlgorithm other_algorithm = JwtAlgorithm::eddsa;
};

std::optional<JwtAlgorithm> parse_jwt_algorithm(std::string_view name) {
  for (const auto& [text, algorithm] : kAlgorithms)
    if (text == name) return algorithm;
  return std::nullopt;
}

Result<JwtKey> JwtKey::from_jwk(const Json& jwk) {
  if (!jwk.is_object() || jwk.contains("d") || jwk.contains("k")) return bad("this is no public key");
  const auto kind = TRY(json_string(jwk, "kty", "JSON Web Key"));
  auto key = std::make_shared<Key>();
  if (kind == "RSA") {
    key->rsa = TRY(rsa_of(jwk));
    return JwtKey(std::move(key));
  }
  const auto name = TRY(json_string(jwk, "crv", "JSON Web Key"));
  if (kind == "OKP" && name == "Ed25519") {
    const auto raw = TRY(member_bytes(jwk, "x"));
    key->other = TRY(PublicKey::from_ed25519(raw));
    return JwtKey(std::move(key));
  }
  const auto curve = std::find_if(std::begin(kJwkCurves), std::end(kJwkCurves), [&](const auto& one) { return one.name == name; });
  if (kind != "EC" || curve == std::end(kJwkCurves)) return fail(ErrorCode::unsupported, "a key of another kind", "JSON Web Key");
  key->other = TRY(ec_of(jwk, *curve));
  key->other_algorithm = curve->jwt;
  return JwtKey(std::move(key));
}

bool JwtKey::takes(JwtAlgorithm algorithm) const { return key_->rsa ? algorithm <= JwtAlgorithm::ps512 : algorithm == key_->other_algorithm; }

bool JwtKey::verify(JwtAlgorithm algorithm, ByteView message, ByteView signature) const {
  if (!takes(algorithm)) return false;
  if (key_->rsa) return verify_rsa(key_->rsa.get(), algorithm, message, signature);
  if (algorithm == JwtAlgorithm::eddsa) return key_->other->verify(message, signature);
  const auto curve = std::find_if(std::begin(kJwkCurves), std::end(kJwkCurves), [&](const auto& one) { return one.jwt == algorithm; });
  if (signature.size() != 2 * curve->bytes) return false;
  const auto der = ecdsa_der_of(signature);
  return der && key_->other->verify(message, *der);
}

}  // namespace redoubt::crypto
