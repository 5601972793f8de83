// SPDX-License-Identifier: Apache-2.0
#include "crypto/kdf.h"

#include <openssl/evp.h>
#include <openssl/kdf.h>

#include <bit>

#include "base/check.h"
#include "crypto/openssl_handles.h"

namespace redoubt::crypto {
namespace {

constexpr std::uint64_t kScryptMemoryMax = 1ULL << 30;

}  // namespace

Secret hkdf_sha256(const Secret& secret, ByteView salt, std::string_view info, std::size_t size) {
  CHECK(size > 0 && size <= 255 * 32);
  const ByteView key = secret.reveal(SecretAccess::for_crypto());
  const ByteView label = view_of(info);
  const EvpKeyContext context(EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, nullptr));
  CHECK(context != nullptr && EVP_PKEY_derive_init(context.get()) == 1);
  CHECK(EVP_PKEY_CTX_set_hkdf_md(context.get(), EVP_sha256()) == 1);
  // OpenSSL takes no empty salt, and what it does without one is what RFC 5869 asks for.
  CHECK(salt.empty() || EVP_PKEY_CTX_set1_hkdf_salt(context.get(), salt.data(), static_cast<int>(salt.size())) == 1);
  CHECK(EVP_PKEY_CTX_set1_hkdf_key(context.get(), key.data(), static_cast<int>(key.size())) == 1);
  CHECK(label.empty() || EVP_PKEY_CTX_add1_hkdf_info(context.get(), label.data(), static_cast<int>(label.size())) == 1);
  auto out = Secret::of_size(size);
  CHECK(EVP_PKEY_derive(context.get(), out.writable(SecretAccess::for_crypto()).data(), &size) == 1 && size == out.size());
  return out;
}

Status check_scrypt_cost(const ScryptCost& cost) {
  const bool bounded = std::has_single_bit(cost.n) && cost.n >= 16 && cost.n <= (1 << 20) && cost.r >= 1 && cost.r <= 16 &&
                       cost.p >= 1 && cost.p <= 16 && 128 * cost.n * cost.r <= kScryptMemoryMax;
  if (!bounded) return fail(ErrorCode::invalid_argument, "scrypt parameters out of bounds");
  return {};
}

Result<Secret> scrypt(const Secret& passphrase, ByteView salt, const ScryptCost& cost, std::size_t size) {
  TRY(check_scrypt_cost(cost));
  const ByteView text = passphrase.reveal(SecretAccess::for_crypto());
  auto out = Secret::of_size(size);
  if (EVP_PBE_scrypt(reinterpret_cast<const char*>(text.data()), text.size(), salt.data(), salt.size(), cost.n, cost.r,
                     cost.p, kScryptMemoryMax + (64 << 20), out.writable(SecretAccess::for_crypto()).data(), size) != 1) {
    return fail(ErrorCode::limit_exceeded, "not enough memory to derive a key from the passphrase");
  }
  return out;
}

}  // namespace redoubt::crypto
