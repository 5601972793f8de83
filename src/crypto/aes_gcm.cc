// SPDX-License-Identifier: Apache-2.0
#include "crypto/aes_gcm.h"

#include <openssl/evp.h>

#include "base/check.h"
#include "crypto/openssl_handles.h"
#include "crypto/vector_gcm.h"

namespace redoubt::crypto {
namespace {

// From here on loading the fast cipher is worth its half of a millisecond.
constexpr std::size_t kLargeBytes = 32 << 10;

EVP_CIPHER* fetched(const char* properties) {
  EVP_CIPHER* const cipher = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", properties);
  CHECK(cipher != nullptr);
  return cipher;
}

// Looked up once, as OpenSSL looks its own names up anew, behind a lock, for each message.
const EVP_CIPHER* cipher_for(std::size_t bytes) {
  static const EVP_CIPHER* const any = fetched(nullptr);
  if (bytes < kLargeBytes) return any;
  static const EVP_CIPHER* const fast = prefer_vector_gcm() ? fetched(kVectorGcm) : any;
  return fast;
}

CipherContext start(const Secret& key, ByteView nonce, bool encrypting, std::size_t bytes) {
  CHECK(key.size() == kAesGcmKeyBytes && nonce.size() == kAesGcmNonceBytes);
  CipherContext context(EVP_CIPHER_CTX_new());
  CHECK(context != nullptr);
  CHECK(EVP_CipherInit_ex(context.get(), cipher_for(bytes), nullptr, key.reveal(SecretAccess::for_crypto()).data(),
                          nonce.data(), encrypting ? 1 : 0) == 1);
  return context;
}

void pass(EVP_CIPHER_CTX* context, std::uint8_t* out, ByteView in) {
  int written = 0;
  CHECK(in.size() <= INT32_MAX);
  CHECK(EVP_CipherUpdate(context, out, &written, in.data(), static_cast<int>(in.size())) == 1);
}

}  // namespace

Bytes aes_gcm_seal(const Secret& key, ByteView nonce, ByteView plaintext, ByteView associated_data) {
  Bytes sealed(plaintext.size() + kAesGcmTagBytes);
  aes_gcm_seal_into(key, nonce, plaintext, associated_data, sealed);
  return sealed;
}

void aes_gcm_seal_into(const Secret& key, ByteView nonce, ByteView plaintext, ByteView associated_data, MutableByteView into) {
  CHECK(into.size() == plaintext.size() + kAesGcmTagBytes);
  auto context = start(key, nonce, true, plaintext.size());
  std::uint8_t* tag = into.data() + plaintext.size();
  if (!associated_data.empty()) pass(context.get(), nullptr, associated_data);
  if (!plaintext.empty()) pass(context.get(), into.data(), plaintext);
  int written = 0;
  CHECK(EVP_CipherFinal_ex(context.get(), tag, &written) == 1);
  CHECK(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, kAesGcmTagBytes, tag) == 1);
}

Result<Bytes> aes_gcm_open(const Secret& key, ByteView nonce, ByteView sealed, ByteView associated_data) {
  if (sealed.size() < kAesGcmTagBytes) return fail(ErrorCode::tampered, "sealed data is shorter than its tag");
  Bytes plaintext(sealed.size() - kAesGcmTagBytes);
  TRY(aes_gcm_open_into(key, nonce, sealed, associated_data, plaintext));
  return plaintext;
}

Status aes_gcm_open_into(const Secret& key, ByteView nonce, ByteView sealed, ByteView associated_data, MutableByteView into) {
  if (sealed.size() < kAesGcmTagBytes) return fail(ErrorCode::tampered, "sealed data is shorter than its tag");
  CHECK(into.size() == sealed.size() - kAesGcmTagBytes);
  auto context = start(key, nonce, false, into.size());
  Bytes tag(sealed.end() - kAesGcmTagBytes, sealed.end());
  if (!associated_data.empty()) pass(context.get(), nullptr, associated_data);
  if (!into.empty()) pass(context.get(), into.data(), sealed.first(into.size()));
  CHECK(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, kAesGcmTagBytes, tag.data()) == 1);
  int written = 0;
  std::uint8_t unused[kAesGcmTagBytes];
  if (EVP_CipherFinal_ex(context.get(), unused, &written) != 1) {
    wipe_memory(into);
    return fail(ErrorCode::tampered, "sealed data does not verify");
  }
  return {};
}

}  // namespace redoubt::crypto
