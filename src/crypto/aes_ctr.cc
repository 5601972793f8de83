// SPDX-License-Identifier: Apache-2.0
#include "crypto/aes_ctr.h"

#include <openssl/evp.h>

#include "base/check.h"

namespace redoubt::crypto {
namespace {

constexpr std::size_t kBlockBytes = 64;  // of SHA-256, for HMAC (RFC 2104)

// The key, padded and mixed with the byte that the inner or the outer hash starts from.
Secret padded(const Secret& key, std::uint8_t with) {
  Secret out = Secret::of_size(kBlockBytes);
  const auto into = out.writable(SecretAccess::for_crypto());
  const auto from = key.reveal(SecretAccess::for_crypto());
  for (std::size_t i = 0; i < kBlockBytes; ++i) into[i] = static_cast<std::uint8_t>((i < from.size() ? from[i] : 0) ^ with);
  return out;
}

}  // namespace

struct AesCtrHmac::State {
  State(const Secret& key, ByteView nonce) : context(EVP_CIPHER_CTX_new()), outer(padded(key, 0x5c)) {
    CHECK(key.size() == kAesCtrKeyBytes && nonce.size() == kAesCtrNonceBytes && context != nullptr);
    CHECK(EVP_CipherInit_ex(context, EVP_aes_256_ctr(), nullptr, key.reveal(SecretAccess::for_crypto()).data(), nonce.data(), 1) == 1);
    inner.update(padded(key, 0x36).reveal(SecretAccess::for_crypto()));
  }
  State(const State&) = delete;
  ~State() { EVP_CIPHER_CTX_free(context); }

  void apply(MutableByteView bytes) {
    int written = 0;
    CHECK(bytes.size() <= INT32_MAX);
    if (!bytes.empty()) CHECK(EVP_CipherUpdate(context, bytes.data(), &written, bytes.data(), static_cast<int>(bytes.size())) == 1);
  }

  EVP_CIPHER_CTX* context;
  Sha256 inner;
  Secret outer;
};

AesCtrHmac::AesCtrHmac(const Secret& key, ByteView nonce) : state_(std::make_unique<State>(key, nonce)) {}
AesCtrHmac::~AesCtrHmac() = default;
AesCtrHmac::AesCtrHmac(AesCtrHmac&&) noexcept = default;

void AesCtrHmac::encrypt(MutableByteView bytes) {
  state_->apply(bytes);
  state_->inner.update(ByteView(bytes));
}

void AesCtrHmac::decrypt(MutableByteView bytes) {
  state_->inner.update(ByteView(bytes));
  state_->apply(bytes);
}

Digest AesCtrHmac::finish() {
  const Digest inner = state_->inner.finish();
  return Sha256().update(state_->outer.reveal(SecretAccess::for_crypto())).update(inner.bytes()).finish();
}

}  // namespace redoubt::crypto
