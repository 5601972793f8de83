// SPDX-License-Identifier: Apache-2.0
#include "crypto/sign.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/check.h"
#include "crypto/hash.h"

namespace redoubt::crypto {

struct PublicKey::Key {
  explicit Key(EVP_PKEY* owned) : pkey(owned) {}
  Key(const Key&) = delete;
  ~Key() { EVP_PKEY_free(pkey); }
  EVP_PKEY* pkey;
};

namespace {

struct FreeBio {
  void operator()(BIO* bio) const { BIO_free_all(bio); }
};
using Bio = std::unique_ptr<BIO, FreeBio>;

struct FreeMdContext {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using MdContext = std::unique_ptr<EVP_MD_CTX, FreeMdContext>;

Bio memory_bio(ByteView bytes) { return Bio(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size()))); }

Bytes contents(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return Bytes(data, data + size);
}

// The digest that the algorithm signs with; Ed25519 hashes by itself.
const EVP_MD* digest_of(EVP_PKEY* key) { return EVP_PKEY_is_a(key, "ED25519") ? nullptr : EVP_sha256(); }

bool is_supported(EVP_PKEY* key) {
  if (EVP_PKEY_is_a(key, "ED25519")) return true;
  char group[64] = {};
  return EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, group, sizeof group, nullptr) == 1 &&
         std::string_view(group) == "prime256v1";
}

// No prompt: an encrypted PEM is refused rather than asked about.
int refuse_passphrase(char*, int, int, void*) { return -1; }

}  // namespace

Result<PublicKey> PublicKey::from_pem(std::string_view pem) {
  auto bio = memory_bio(view_of(pem));
  EVP_PKEY* key = PEM_read_bio_PUBKEY(bio.get(), nullptr, refuse_passphrase, nullptr);
  if (key == nullptr) return fail(ErrorCode::invalid_argument, "not a public key in PEM");
  auto owned = std::make_shared<const Key>(key);
  if (!is_supported(key)) return fail(ErrorCode::invalid_argument, "neither an Ed25519 nor a P-256 public key");
  return PublicKey(std::move(owned));
}

Result<PublicKey> PublicKey::from_ed25519(ByteView raw) {
  EVP_PKEY* key = raw.size() == 32 ? EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, raw.data(), raw.size()) : nullptr;
  if (key == nullptr) return fail(ErrorCode::invalid_argument, "not an Ed25519 public key of 32 bytes");
  return PublicKey(std::make_shared<const Key>(key));
}

SignatureAlgorithm PublicKey::algorithm() const {
  return EVP_PKEY_is_a(key_->pkey, "ED25519") ? SignatureAlgorithm::ed25519 : SignatureAlgorithm::ecdsa_p256;
}

bool PublicKey::verify(ByteView message, ByteView signature) const {
  MdContext context(EVP_MD_CTX_new());
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
  EVP_PKEY* key = algorithm == SignatureAlgorithm::ed25519 ? EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")
                                                           : EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256");
  CHECK(key != nullptr);
  return SigningKey(std::make_shared<const PublicKey::Key>(key));
}

Result<SigningKey> SigningKey::from_pem(const Secret& pem) {
  auto bio = memory_bio(pem.reveal(SecretAccess::for_crypto()));
  EVP_PKEY* key = PEM_read_bio_PrivateKey(bio.get(), nullptr, refuse_passphrase, nullptr);
  if (key == nullptr) return fail(ErrorCode::invalid_argument, "not an unencrypted private key in PEM");
  auto owned = std::make_shared<const PublicKey::Key>(key);
  if (!is_supported(key)) return fail(ErrorCode::invalid_argument, "neither an Ed25519 nor a P-256 private key");
  return SigningKey(std::move(owned));
}

Bytes SigningKey::sign(ByteView message) const {
  MdContext context(EVP_MD_CTX_new());
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

}  // namespace redoubt::crypto
