// SPDX-License-Identifier: Apache-2.0
#include "crypto/sign.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/check.h"
#include "crypto/hash.h"
#include "crypto/openssl_handles.h"

namespace redoubt::crypto {

struct PublicKey::Key {
  explicit Key(EVP_PKEY* owned) : pkey(owned) {}
  Key(const Key&) = delete;
  ~Key() { EVP_PKEY_free(pkey); }
  EVP_PKEY* pkey;
};

namespace {

Bio memory_bio(ByteView bytes) { return Bio(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size()))); }

Bytes contents(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return Bytes(data, data + size);
}

struct SignatureCurve {
  SignatureAlgorithm algorithm;
  const char* openssl_name;
  const char* generate_name;
  const EVP_MD* (*digest)();
};
constexpr SignatureCurve kSignatureCurves[] = {{SignatureAlgorithm::ecdsa_p256, "prime256v1", "P-256", EVP_sha256},
                             {SignatureAlgorithm::ecdsa_p384, "secp384r1", "P-384", EVP_sha384},
                             {SignatureAlgorithm::ecdsa_p521, "secp521r1", "P-521", EVP_sha512}};

// The curve of an EC key, or null for another key or a curve that is not taken.
const SignatureCurve* curve_of(EVP_PKEY* key) {
  char group[64] = {};
  if (!EVP_PKEY_is_a(key, "EC") || EVP_PKEY_get_group_name(key, group, sizeof group, nullptr) != 1) return nullptr;
  for (const auto& curve : kSignatureCurves) {
    if (std::string_view(group) == curve.openssl_name) return &curve;
  }
  return nullptr;
}

const SignatureCurve* curve_of(SignatureAlgorithm algorithm) {
  for (const auto& curve : kSignatureCurves) {
    if (curve.algorithm == algorithm) return &curve;
  }
  return nullptr;
}

// The digest that the algorithm signs with; Ed25519 hashes by itself.
const EVP_MD* digest_of(EVP_PKEY* key) {
  const auto* curve = curve_of(key);
  return curve == nullptr ? nullptr : curve->digest();
}

bool is_supported(EVP_PKEY* key) { return EVP_PKEY_is_a(key, "ED25519") || curve_of(key) != nullptr; }

constexpr const char* kUnsupported = "neither an Ed25519 nor a P-256, P-384 or P-521";

// No prompt: an encrypted PEM is refused rather than asked about.
int refuse_passphrase(char*, int, int, void*) { return -1; }

}  // namespace

Result<PublicKey> PublicKey::from_pem(std::string_view pem) {
  auto bio = memory_bio(view_of(pem));
  EVP_PKEY* key = PEM_read_bio_PUBKEY(bio.get(), nullptr, refuse_passphrase, nullptr);
  if (key == nullptr) return fail(ErrorCode::invalid_argument, "not a public key in PEM");
  auto owned = std::make_shared<const Key>(key);
  if (!is_supported(key)) return fail(ErrorCode::invalid_argument, std::string(kUnsupported) + " public key");
  return PublicKey(std::move(owned));
}

Result<PublicKey> PublicKey::from_ed25519(ByteView raw) {
  EVP_PKEY* key = raw.size() == 32 ? EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, raw.data(), raw.size()) : nullptr;
  if (key == nullptr) return fail(ErrorCode::invalid_argument, "not an Ed25519 public key of 32 bytes");
  return PublicKey(std::make_shared<const Key>(key));
}

Result<PublicKey> PublicKey::from_ec_point(SignatureAlgorithm algorithm, ByteView point) {
  const auto* curve = curve_of(algorithm);
  EVP_PKEY* key = nullptr;
  if (curve != nullptr && !point.empty() && point[0] == POINT_CONVERSION_UNCOMPRESSED) {
    const EvpKeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, const_cast<char*>(curve->openssl_name), 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, const_cast<std::uint8_t*>(point.data()), point.size()),
        OSSL_PARAM_construct_end()};
    CHECK(context != nullptr && EVP_PKEY_fromdata_init(context.get()) == 1);
    if (EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, const_cast<OSSL_PARAM*>(parameters)) != 1) key = nullptr;
  }
  if (key == nullptr) return fail(ErrorCode::invalid_argument, "not a point of the key's curve");
  return PublicKey(std::make_shared<const Key>(key));
}

SignatureAlgorithm PublicKey::algorithm() const {
  const auto* curve = curve_of(key_->pkey);
  return curve == nullptr ? SignatureAlgorithm::ed25519 : curve->algorithm;
}

bool PublicKey::verify(ByteView message, ByteView signature) const {
  DigestContext context(EVP_MD_CTX_new());
  CHECK(context != nullptr);
  if (EVP_DigestVerifyInit(context.get(), nullptr, digest_of(key_->pkey), nullptr, key_->pkey) != 1) return false;
  return EVP_DigestVerify(context.get(), signature.data(), signature.size(), message.data(), message.size()) == 1;
}

std::string PublicKey::to_pem() const {
  Bio bio(BIO_new(BIO_s_mem()));
  CHECK(PEM_write_bio_PUBKEY(bio.get(), key_->pkey) == 1);
  return to_text(contents(bio.get()));
}

Bytes PublicKey::ed25519() const {
  Bytes raw(32);
  std::size_t size = raw.size();
  CHECK(algorithm() == SignatureAlgorithm::ed25519 && EVP_PKEY_get_raw_public_key(key_->pkey, raw.data(), &size) == 1);
  return raw;
}

std::string PublicKey::key_id() const {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key_->pkey, &der);
  CHECK(size > 0);
  const auto digest = sha256(ByteView(der, static_cast<std::size_t>(size)));
  OPENSSL_free(der);
  return digest.hex();
}

SigningKey SigningKey::generate(SignatureAlgorithm algorithm) {
  const auto* curve = curve_of(algorithm);
  EVP_PKEY* key = curve == nullptr ? EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")
                                   : EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", curve->generate_name);
  CHECK(key != nullptr);
  return SigningKey(std::make_shared<const PublicKey::Key>(key));
}

Result<SigningKey> SigningKey::from_pem(const Secret& pem) {
  auto bio = memory_bio(pem.reveal(SecretAccess::for_crypto()));
  EVP_PKEY* key = PEM_read_bio_PrivateKey(bio.get(), nullptr, refuse_passphrase, nullptr);
  if (key == nullptr) return fail(ErrorCode::invalid_argument, "not an unencrypted private key in PEM");
  auto owned = std::make_shared<const PublicKey::Key>(key);
  if (!is_supported(key)) return fail(ErrorCode::invalid_argument, std::string(kUnsupported) + " private key");
  return SigningKey(std::move(owned));
}

Bytes SigningKey::sign(ByteView message) const {
  DigestContext context(EVP_MD_CTX_new());
  CHECK(context != nullptr);
  CHECK(EVP_DigestSignInit(context.get(), nullptr, digest_of(key_->pkey), nullptr, key_->pkey) == 1);
  std::size_t size = 0;
  CHECK(EVP_DigestSign(context.get(), nullptr, &size, message.data(), message.size()) == 1);
  Bytes signature(size);
  CHECK(EVP_DigestSign(context.get(), signature.data(), &size, message.data(), message.size()) == 1);
  signature.resize(size);
  return signature;
}

PublicKey SigningKey::public_key() const {
  // The public half alone, so that whoever holds it cannot reach the private one.
  auto key = PublicKey(key_);
  return *PublicKey::from_pem(key.to_pem());
}

Secret SigningKey::to_pem() const {
  Bio bio(BIO_new(BIO_s_secmem() != nullptr ? BIO_s_secmem() : BIO_s_mem()));
  CHECK(PEM_write_bio_PKCS8PrivateKey(bio.get(), key_->pkey, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  return Secret(contents(bio.get()));
}

Bytes ecdsa_digest(SignatureAlgorithm algorithm, ByteView message) {
  const auto* curve = curve_of(algorithm);
  if (curve == nullptr) return {};
  Bytes digest(EVP_MAX_MD_SIZE);
  unsigned size = 0;
  CHECK(EVP_Digest(message.data(), message.size(), digest.data(), &size, curve->digest(), nullptr) == 1);
  digest.resize(size);
  return digest;
}

Result<Bytes> ecdsa_der_of(ByteView r_and_s) {
  const std::size_t half = r_and_s.size() / 2;
  if (half == 0 || half > 66 || r_and_s.size() != 2 * half) return fail(ErrorCode::invalid_argument, "not an ECDSA signature");
  const std::unique_ptr<ECDSA_SIG, FreeBy<ECDSA_SIG_free>> signature(ECDSA_SIG_new());
  BIGNUM* r = BN_bin2bn(r_and_s.data(), static_cast<int>(half), nullptr);
  BIGNUM* s = BN_bin2bn(r_and_s.data() + half, static_cast<int>(half), nullptr);
  CHECK(signature != nullptr && ECDSA_SIG_set0(signature.get(), r, s) == 1);
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(signature.get(), &der);
  CHECK(size > 0);
  Bytes bytes(der, der + size);
  OPENSSL_free(der);
  return bytes;
}

}  // namespace redoubt::crypto
