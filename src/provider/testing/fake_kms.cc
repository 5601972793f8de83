// SPDX-License-Identifier: Apache-2.0
#include "provider/testing/fake_kms.h"

#include "crypto/aes_gcm.h"
#include "crypto/random.h"

namespace redoubt::provider::testing {

Result<std::vector<Secret>*> FakeKms::find(std::string_view key_uri) {
  const auto found = keys_.find(key_uri);
  if (found == keys_.end() || found->second.empty()) return fail(ErrorCode::not_found, "no such key", std::string(key_uri));
  return &found->second;
}

Result<Bytes> FakeKms::wrap(std::string_view key_uri, const Secret& data_key, const EncryptionContext& context) {
  if (context.empty()) return fail(ErrorCode::invalid_argument, "an encryption context may not be empty");
  if (data_key.empty() || data_key.size() > 4096) return fail(ErrorCode::invalid_argument, "a data key has 1 to 4096 bytes");
  const std::lock_guard lock(mutex_);
  const auto* versions = TRY(find(key_uri));
  Bytes wrapped{static_cast<std::uint8_t>(versions->size())};
  const auto nonce = crypto::random_bytes(crypto::kAesGcmNonceBytes);
  const auto sealed =
      crypto::aes_gcm_seal(versions->back(), nonce, data_key.reveal(SecretAccess::for_crypto()), encode_context(context));
  wrapped.insert(wrapped.end(), nonce.begin(), nonce.end());
  wrapped.insert(wrapped.end(), sealed.begin(), sealed.end());
  return wrapped;
}

Result<Secret> FakeKms::unwrap(std::string_view key_uri, ByteView wrapped, const EncryptionContext& context) {
  if (context.empty()) return fail(ErrorCode::invalid_argument, "an encryption context may not be empty");
  const std::lock_guard lock(mutex_);
  const auto* versions = TRY(find(key_uri));
  if (wrapped.size() < 1 + crypto::kAesGcmNonceBytes || wrapped[0] == 0 || wrapped[0] > versions->size()) {
    return fail(ErrorCode::tampered, "not a wrapped key");
  }
  return Secret(TRY(crypto::aes_gcm_open((*versions)[wrapped[0] - 1], wrapped.subspan(1, crypto::kAesGcmNonceBytes),
                                         wrapped.subspan(1 + crypto::kAesGcmNonceBytes), encode_context(context))));
}

Status FakeKms::create_key(std::string_view key_uri) {
  if (!key_uri.starts_with("fake:") || key_uri.size() == 5) {
    return fail(ErrorCode::invalid_argument, "not a key of this store", std::string(key_uri));
  }
  const std::lock_guard lock(mutex_);
  const auto [place, is_new] = keys_.try_emplace(std::string(key_uri));
  if (!is_new) return fail(ErrorCode::already_exists, "the key exists or was destroyed", std::string(key_uri));
  place->second.push_back(crypto::random_secret(crypto::kAesGcmKeyBytes));
  return {};
}

Status FakeKms::rotate_key(std::string_view key_uri) {
  const std::lock_guard lock(mutex_);
  auto* versions = TRY(find(key_uri));
  if (versions->size() == 255) return fail(ErrorCode::limit_exceeded, "too many versions", std::string(key_uri));
  versions->push_back(crypto::random_secret(crypto::kAesGcmKeyBytes));
  return {};
}

Status FakeKms::destroy_key(std::string_view key_uri) {
  const std::lock_guard lock(mutex_);
  TRY(find(key_uri))->clear();
  return {};
}

}  // namespace redoubt::provider::testing
