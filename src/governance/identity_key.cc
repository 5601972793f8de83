// SPDX-License-Identifier: Apache-2.0
#include "governance/identity_key.h"

#include "crypto/aes_gcm.h"
#include "crypto/hash.h"
#include "crypto/kdf.h"
#include "crypto/random.h"
#include "provider/kms.h"

namespace redoubt::governance {
namespace {

constexpr std::size_t kCheckBytes = 32, kChecksumBytes = 32;

Bytes context_of(const KeyOwner& owner) {
  return provider::encode_context({{"workspace", owner.workspace}, {"kind", "identity"}, {"name", owner.identity}});
}

Secret check_value(const Secret& credential, ByteView context) {
  return crypto::hkdf_sha256(credential, context, "redoubt identity v1 check", kCheckBytes);
}

Secret sealing_key(const Secret& credential, ByteView context) {
  return crypto::hkdf_sha256(credential, context, "redoubt identity v1 key", crypto::kAesGcmKeyBytes);
}

}  // namespace

Bytes seal_signing_key(const crypto::SigningKey& key, const Secret& credential, const KeyOwner& owner) {
  const auto context = context_of(owner);
  const auto check = check_value(credential, context);
  const auto nonce = crypto::random_bytes(crypto::kAesGcmNonceBytes);
  const auto sealed = crypto::aes_gcm_seal(sealing_key(credential, context), nonce,
                                           key.to_pem().reveal(SecretAccess::for_storage()), context);
  const auto check_bytes = check.reveal(SecretAccess::for_storage());
  Bytes out(check_bytes.begin(), check_bytes.end());
  out.insert(out.end(), nonce.begin(), nonce.end());
  out.insert(out.end(), sealed.begin(), sealed.end());
  const auto checksum = crypto::sha256(out);
  out.insert(out.end(), checksum.value.begin(), checksum.value.end());
  return out;
}

Result<crypto::SigningKey> open_signing_key(ByteView sealed, const Secret& credential, const KeyOwner& owner) {
  constexpr std::size_t kHeadBytes = kCheckBytes + crypto::kAesGcmNonceBytes;
  if (sealed.size() < kHeadBytes + kChecksumBytes) return fail(ErrorCode::tampered, "a sealed signing key was cut short");
  const auto body = sealed.first(sealed.size() - kChecksumBytes);
  if (!equal_constant_time(crypto::sha256(body).bytes(), sealed.last(kChecksumBytes))) {
    return fail(ErrorCode::tampered, "a sealed signing key was changed");
  }
  const auto context = context_of(owner);
  if (!equal_constant_time(check_value(credential, context).reveal(SecretAccess::for_crypto()), body.first(kCheckBytes))) {
    return fail(ErrorCode::permission_denied, "this credential file does not open the identity's key");
  }
  Secret pem(TRY(crypto::aes_gcm_open(sealing_key(credential, context), body.subspan(kCheckBytes, crypto::kAesGcmNonceBytes),
                                      body.subspan(kHeadBytes), context)));
  return crypto::SigningKey::from_pem(pem);
}

}  // namespace redoubt::governance
