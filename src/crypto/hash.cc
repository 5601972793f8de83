// SPDX-License-Identifier: Apache-2.0
#include "crypto/hash.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/check.h"

namespace redoubt::crypto {

namespace {

// Looked up once: OpenSSL's own names of algorithms are looked up anew, behind a lock, for each digest.
const EVP_MD* sha256_algorithm() {
  static EVP_MD* const fetched = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  CHECK(fetched != nullptr);
  return fetched;
}

}  // namespace

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  CHECK(state_->context != nullptr && EVP_DigestInit_ex(state_->context, sha256_algorithm(), nullptr) == 1);
}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

Sha256& Sha256::update(ByteView bytes) {
  CHECK(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1);
  return *this;
}

Digest Sha256::finish() {
  Digest digest;
  CHECK(EVP_DigestFinal_ex(state_->context, digest.value.data(), nullptr) == 1);
  return digest;
}

// With a context that stays: to make one costs as much as to hash a key.
Digest sha256(ByteView bytes) {
  static thread_local const std::unique_ptr<EVP_MD_CTX, decltype([](EVP_MD_CTX* context) { EVP_MD_CTX_free(context); })> context(EVP_MD_CTX_new());
  Digest digest;
  CHECK(context != nullptr && EVP_DigestInit_ex(context.get(), sha256_algorithm(), nullptr) == 1);
  CHECK(EVP_DigestUpdate(context.get(), bytes.data(), bytes.size()) == 1);
  CHECK(EVP_DigestFinal_ex(context.get(), digest.value.data(), nullptr) == 1);
  return digest;
}

Result<Digest> sha256_of(Source& source) {
  Sha256 hash;
  Bytes chunk(1 << 20);
  while (true) {
    const std::size_t count = TRY(source.read(chunk));
    if (count == 0) return hash.finish();
    hash.update(ByteView(chunk).first(count));
  }
}

std::string git_blob_id(ByteView bytes) {
  std::string header = "blob " + std::to_string(bytes.size());
  header.push_back('\0');
  std::array<std::uint8_t, 20> id{};
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  CHECK(context != nullptr && EVP_DigestInit_ex(context, EVP_sha1(), nullptr) == 1);
  CHECK(EVP_DigestUpdate(context, header.data(), header.size()) == 1);
  CHECK(EVP_DigestUpdate(context, bytes.data(), bytes.size()) == 1);
  CHECK(EVP_DigestFinal_ex(context, id.data(), nullptr) == 1);
  EVP_MD_CTX_free(context);
  return to_hex(id);
}

Digest hmac_sha256(const Secret& key, ByteView message) {
  const ByteView bytes = key.reveal(SecretAccess::for_crypto());
  Digest digest;
  unsigned length = 0;
  CHECK(HMAC(EVP_sha256(), bytes.data(), static_cast<int>(bytes.size()), message.data(), message.size(),
             digest.value.data(), &length) != nullptr);
  return digest;
}

}  // namespace redoubt::crypto
