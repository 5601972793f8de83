// SPDX-License-Identifier: Apache-2.0
//
// JSON Web Encryption (RFC 7516), general JSON serialisation, for P-256 recipients (RFC 7518, section 4.6).
#include "base/json.h"
#include "crypto/aes_gcm.h"
#include "crypto/agreement.h"
#include "crypto/hash.h"
#include "crypto/random.h"
#include "stages/image/oci/encryption.h"

namespace redoubt::stages::image::oci {
namespace {

constexpr const char* kAlgorithm = "ECDH-ES+A256KW";
constexpr const char* kEncryption = "A256GCM";
constexpr std::size_t kRecipientsMax = 64, kJweBytesMax = 1 << 20;

void put_length(Bytes& into, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) into.push_back(static_cast<std::uint8_t>(value >> shift));
}

// The Concat KDF of SP 800-56A, one round of SHA-256, without party information (RFC 7518, section 4.6.2).
Secret wrapping_key(const Secret& shared) {
  Bytes round, other;
  put_length(round, 1);
  const std::string_view algorithm = kAlgorithm;
  put_length(other, static_cast<std::uint32_t>(algorithm.size()));
  other.insert(other.end(), algorithm.begin(), algorithm.end());
  put_length(other, 0);
  put_length(other, 0);
  put_length(other, 256);
  crypto::Sha256 hash;
  hash.update(ByteView(round)).update(shared.reveal(SecretAccess::for_crypto())).update(ByteView(other));
  const Digest digest = hash.finish();
  return Secret(Bytes(digest.value.begin(), digest.value.end()));
}

Result<Json> recipient_for(const crypto::PublicKey& key, const Secret& content_key) {
  const auto ephemeral = crypto::SigningKey::generate(crypto::SignatureAlgorithm::ecdsa_p256);
  const auto point = TRY(crypto::point_of(ephemeral.public_key()));
  const Secret shared = TRY(crypto::agree(ephemeral, key));
  const Json header = {{"alg", kAlgorithm}, {"epk", {{"kty", "EC"}, {"crv", "P-256"}, {"x", to_base64url(point.x)}, {"y", to_base64url(point.y)}}}};
  return Json{{"header", header}, {"encrypted_key", to_base64url(crypto::wrap_key(wrapping_key(shared), content_key))}};
}

struct Recipient {
  crypto::PublicKey ephemeral;
  Bytes encrypted_key;
};

// The recipient's header may stand in the protected one where there is a single recipient, as go-jose writes it.
Result<Recipient> parse_recipient(const Json& protected_header, const Json& recipient) {
  const Json header = json_or(recipient, "header", Json::object());
  const auto member = [&](const char* name) -> const Json& {
    static const Json kNone;
    return header.contains(name) ? header.at(name) : protected_header.contains(name) ? protected_header.at(name) : kNone;
  };
  if (member("alg") != kAlgorithm) return fail(ErrorCode::unsupported, "a key that is wrapped in a way that is not known here");
  const Json& point = member("epk");
  if (TRY(json_string(point, "crv", "JWE")) != "P-256") return fail(ErrorCode::unsupported, "a curve that is not P-256");
  crypto::CurvePoint coordinates;
  coordinates.x = TRY(from_base64url(TRY(json_string(point, "x", "JWE"))));
  coordinates.y = TRY(from_base64url(TRY(json_string(point, "y", "JWE"))));
  auto ephemeral = TRY(crypto::public_key_of(coordinates));
  auto encrypted_key = TRY(from_base64url(TRY(json_string(recipient, "encrypted_key", "JWE"))));
  return Recipient{std::move(ephemeral), std::move(encrypted_key)};
}

Result<std::string> open_content(const Json& jwe, const Secret& content_key) {
  if (content_key.size() != crypto::kAesGcmKeyBytes) return fail(ErrorCode::tampered, "a key of another length");
  const auto nonce = TRY(from_base64url(TRY(json_string(jwe, "iv", "JWE"))));
  auto sealed = TRY(from_base64url(TRY(json_string(jwe, "ciphertext", "JWE"))));
  const auto tag = TRY(from_base64url(TRY(json_string(jwe, "tag", "JWE"))));
  if (nonce.size() != crypto::kAesGcmNonceBytes || tag.size() != crypto::kAesGcmTagBytes) return fail(ErrorCode::invalid_argument, "a JWE with a nonce or a tag of another length");
  sealed.insert(sealed.end(), tag.begin(), tag.end());
  return to_text(TRY(crypto::aes_gcm_open(content_key, nonce, sealed, view_of(TRY(json_string(jwe, "protected", "JWE"))))));
}

}  // namespace

Result<std::string> seal_jwe(const std::string& message, const std::vector<crypto::PublicKey>& recipients) {
  if (recipients.empty() || recipients.size() > kRecipientsMax) return fail(ErrorCode::invalid_argument, "an encrypted image has 1 to 64 recipients");
  const Secret content_key = crypto::random_secret(crypto::kAesGcmKeyBytes);
  const Bytes nonce = crypto::random_bytes(crypto::kAesGcmNonceBytes);
  Json list = Json::array();
  for (const auto& key : recipients) list.push_back(TRY(recipient_for(key, content_key)));
  const std::string header = to_base64url(view_of(dump_json({{"enc", kEncryption}})));
  const Bytes sealed = crypto::aes_gcm_seal(content_key, nonce, view_of(message), view_of(header));
  const ByteView all(sealed);
  return dump_json({{"protected", header}, {"recipients", list}, {"iv", to_base64url(nonce)}, {"ciphertext", to_base64url(all.first(message.size()))}, {"tag", to_base64url(all.subspan(message.size()))}});
}

Result<std::string> open_jwe(std::string_view text, const crypto::SigningKey& key) {
  const Json jwe = TRY(parse_json(text, "JWE", {.bytes_max = kJweBytesMax, .depth_max = 8}));
  const Json header = TRY(parse_json(to_text(TRY(from_base64url(TRY(json_string(jwe, "protected", "JWE"))))), "JWE", {.bytes_max = kJweBytesMax, .depth_max = 8}));
  if (!header.is_object() || json_or(header, "enc", "") != kEncryption || header.contains("zip") || header.contains("crit")) return fail(ErrorCode::unsupported, "a JWE of a kind that is not known here");
  Json recipients = json_or(jwe, "recipients", Json::array());
  if (recipients.empty()) recipients.push_back(jwe);  // the flattened form
  if (recipients.size() > kRecipientsMax) return fail(ErrorCode::limit_exceeded, "a JWE with too many recipients");
  for (const auto& one : recipients) {
    const auto recipient = parse_recipient(header, one);
    if (!recipient) continue;
    const auto shared = crypto::agree(key, recipient->ephemeral);
    if (!shared) continue;
    const auto content_key = crypto::unwrap_key(wrapping_key(*shared), recipient->encrypted_key);
    if (content_key) return open_content(jwe, *content_key);
  }
  return fail(ErrorCode::permission_denied, "the image is not encrypted for this key", {}, "name the private key of one of its recipients");
}

}  // namespace redoubt::stages::image::oci
