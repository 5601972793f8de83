// SPDX-License-Identifier: Apache-2.0
#include "crypto/agreement.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>

#include "base/check.h"
#include "crypto/openssl_handles.h"

namespace redoubt::crypto {
namespace {

constexpr std::size_t kCoordinateBytes = 32, kWrapBytes = 8;

tl::unexpected<Error> not_p256() { return fail(ErrorCode::invalid_argument, "not a P-256 key"); }

Result<EvpKey> load_public(const PublicKey& key) {
  if (key.algorithm() != SignatureAlgorithm::ecdsa_p256) return not_p256();
  const std::string pem = key.to_pem();
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  EvpKey loaded(PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, nullptr));
  CHECK(loaded != nullptr);
  return loaded;
}

EvpKey load_private(const SigningKey& key) {
  const Secret pem = key.to_pem();
  const auto bytes = pem.reveal(SecretAccess::for_crypto());
  const Bio bio(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
  EvpKey loaded(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
  CHECK(loaded != nullptr);
  return loaded;
}

Bytes coordinate(EVP_PKEY* key, const char* name) {
  BIGNUM* value = nullptr;
  CHECK(EVP_PKEY_get_bn_param(key, name, &value) == 1);
  const BigNumber owned(value);
  Bytes out(kCoordinateBytes);
  CHECK(BN_bn2binpad(value, out.data(), static_cast<int>(out.size())) == static_cast<int>(out.size()));
  return out;
}

CipherContext start_wrap(const Secret& key, bool wrapping) {
  CHECK(key.size() == 32);
  CipherContext context(EVP_CIPHER_CTX_new());
  CHECK(context != nullptr);
  EVP_CIPHER_CTX_set_flags(context.get(), EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
  CHECK(EVP_CipherInit_ex(context.get(), EVP_aes_256_wrap(), nullptr, key.reveal(SecretAccess::for_crypto()).data(), nullptr, wrapping ? 1 : 0) == 1);
  return context;
}

}  // namespace

Result<CurvePoint> point_of(const PublicKey& key) {
  const EvpKey loaded = TRY(load_public(key));
  return CurvePoint{coordinate(loaded.get(), OSSL_PKEY_PARAM_EC_PUB_X), coordinate(loaded.get(), OSSL_PKEY_PARAM_EC_PUB_Y)};
}

Result<PublicKey> public_key_of(const CurvePoint& point) {
  if (point.x.size() != kCoordinateBytes || point.y.size() != kCoordinateBytes) return not_p256();
  Bytes encoded = {0x04};  // uncompressed (SEC 1, 2.3.3)
  encoded.insert(encoded.end(), point.x.begin(), point.x.end());
  encoded.insert(encoded.end(), point.y.begin(), point.y.end());
  char group[] = "prime256v1";
  OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0), OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, encoded.data(), encoded.size()), OSSL_PARAM_construct_end()};
  const EvpKeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
  EVP_PKEY* made = nullptr;
  if (context == nullptr || EVP_PKEY_fromdata_init(context.get()) != 1 || EVP_PKEY_fromdata(context.get(), &made, EVP_PKEY_PUBLIC_KEY, parameters) != 1) return not_p256();
  const EvpKey owned(made);
  const EvpKeyContext check(EVP_PKEY_CTX_new(made, nullptr));
  if (check == nullptr || EVP_PKEY_public_check(check.get()) != 1) return not_p256();
  const Bio bio(BIO_new(BIO_s_mem()));
  CHECK(PEM_write_bio_PUBKEY(bio.get(), made) == 1);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return PublicKey::from_pem(std::string_view(data, static_cast<std::size_t>(size)));
}

Result<Secret> agree(const SigningKey& own, const PublicKey& other) {
  const EvpKey peer = TRY(load_public(other));
  if (own.public_key().algorithm() != SignatureAlgorithm::ecdsa_p256) return not_p256();
  const EvpKey mine = load_private(own);
  const EvpKeyContext context(EVP_PKEY_CTX_new(mine.get(), nullptr));
  Secret shared = Secret::of_size(kCoordinateBytes);
  std::size_t size = shared.size();
  const bool agreed = context != nullptr && EVP_PKEY_derive_init(context.get()) == 1 && EVP_PKEY_derive_set_peer(context.get(), peer.get()) == 1 &&
                      EVP_PKEY_derive(context.get(), shared.writable(SecretAccess::for_crypto()).data(), &size) == 1 && size == shared.size();
  if (!agreed) return fail(ErrorCode::invalid_argument, "these keys share no secret");
  return shared;
}

Bytes wrap_key(const Secret& wrapping_key, const Secret& key) {
  CHECK(key.size() >= 16 && key.size() % kWrapBytes == 0 && key.size() <= 1024);
  const auto context = start_wrap(wrapping_key, true);
  Bytes out(key.size() + 2 * kWrapBytes);
  int written = 0;
  CHECK(EVP_CipherUpdate(context.get(), out.data(), &written, key.reveal(SecretAccess::for_crypto()).data(), static_cast<int>(key.size())) == 1);
  out.resize(static_cast<std::size_t>(written));
  return out;
}

Result<Secret> unwrap_key(const Secret& wrapping_key, ByteView wrapped) {
  if (wrapped.size() < 3 * kWrapBytes || wrapped.size() % kWrapBytes != 0 || wrapped.size() > 1024) return fail(ErrorCode::tampered, "not a wrapped key");
  const auto context = start_wrap(wrapping_key, false);
  Secret out = Secret::of_size(wrapped.size());
  int written = 0;
  const auto into = out.writable(SecretAccess::for_crypto());
  if (EVP_CipherUpdate(context.get(), into.data(), &written, wrapped.data(), static_cast<int>(wrapped.size())) != 1 || written <= 0) return fail(ErrorCode::tampered, "the key was not wrapped for this one");
  return Secret(Bytes(into.begin(), into.begin() + written));
}

}  // namespace redoubt::crypto
