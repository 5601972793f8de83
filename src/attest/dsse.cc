// SPDX-License-Identifier: Apache-2.0
#include "attest/dsse.h"

#include <fmt/format.h>

#include "attest/tampered.h"
#include "crypto/hash.h"

namespace redoubt::attest {
namespace {

constexpr std::size_t kSignaturesMax = 16;
constexpr std::size_t kEnvelopeBytesMax = 8 << 20;

Result<EnvelopeSignature> parse_signature(const Json& value, std::string_view where) {
  EnvelopeSignature signature;
  signature.signature = TRY(from_base64(TRY(json_string(value, "sig", where))));
  if (value.contains("keyid") && !value["keyid"].is_null()) signature.key_id = TRY(json_string(value, "keyid", where));
  if (value.size() != (value.contains("keyid") ? 2u : 1u)) {
    return fail(ErrorCode::invalid_argument, "a signature with unknown members", std::string(where));
  }
  return signature;
}

}  // namespace

Bytes pre_authentication_encoding(std::string_view payload_type, ByteView payload) {
  Bytes encoded = to_bytes(fmt::format("DSSEv1 {} {} {} ", payload_type.size(), payload_type, payload.size()));
  encoded.insert(encoded.end(), payload.begin(), payload.end());
  return encoded;
}

Envelope sign_envelope(std::string_view payload_type, ByteView payload, const crypto::SigningKey& key) {
  return {.payload_type = std::string(payload_type),
          .payload = Bytes(payload.begin(), payload.end()),
          .signatures = {{key.public_key().key_id(), key.sign(pre_authentication_encoding(payload_type, payload))}}};
}

std::string to_text(const Envelope& envelope) {
  Json signatures = Json::array();
  for (const auto& [key_id, signature] : envelope.signatures) {
    signatures.push_back({{"keyid", key_id}, {"sig", to_base64(signature)}});
  }
  return dump_json({{"payload", to_base64(envelope.payload)},
                    {"payloadType", envelope.payload_type},
                    {"signatures", std::move(signatures)}});
}

Result<Envelope> parse_envelope(std::string_view text, std::string_view where) {
  const auto json = TRY(parse_json(text, where, {.bytes_max = kEnvelopeBytesMax, .depth_max = 8}));
  Envelope envelope;
  envelope.payload_type = TRY(json_string(json, "payloadType", where));
  envelope.payload = TRY(from_base64(TRY(json_string(json, "payload", where))));
  const auto signatures = TRY(json_array(json, "signatures", where));
  if (json.size() != 3) return fail(ErrorCode::invalid_argument, "an envelope with unknown members", std::string(where));
  if (signatures.empty()) return fail(ErrorCode::invalid_argument, "an envelope without a signature", std::string(where));
  if (signatures.size() > kSignaturesMax) {
    return fail(ErrorCode::limit_exceeded, fmt::format("more than {} signatures", kSignaturesMax), std::string(where));
  }
  for (const auto& signature : signatures) envelope.signatures.push_back(TRY(parse_signature(signature, where)));
  return envelope;
}

Result<VerifiedPayload> verify_envelope(const Envelope& envelope, const TrustedKeys& trusted, std::string_view where) {
  const auto message = pre_authentication_encoding(envelope.payload_type, envelope.payload);
  std::optional<VerifiedPayload> verified;
  for (const auto& [key_id, signature] : envelope.signatures) {
    const auto key = trusted(key_id);
    if (!key) continue;
    if (!key->key.verify(message, signature)) {
      return tampered(fmt::format("the signature of '{}' does not verify", key->identity), where);
    }
    if (!verified) verified = {envelope.payload_type, envelope.payload, key_id, key->identity};
  }
  if (!verified) return tampered("signed by no key that is trusted here", where);
  return std::move(*verified);
}

std::string sign_statement(const Statement& statement, const crypto::SigningKey& key) {
  return to_text(sign_envelope(kStatementPayloadType, view_of(to_text(statement)), key));
}

Result<VerifiedStatement> verify_statement(std::string_view text, const TrustedKeys& trusted, std::string_view where) {
  const auto envelope = parse_envelope(text, where);
  if (!envelope) return tampered("not a DSSE envelope: " + envelope.error().message, where);
  if (envelope->signatures.size() != 1 || to_text(*envelope) != text)
    return tampered("not a canonical envelope with one signature", where);
  auto verified = TRY(verify_envelope(*envelope, trusted, where));
  if (verified.payload_type != kStatementPayloadType) return tampered("the payload is not an in-toto statement", where);
  auto statement = parse_statement(text_of(verified.payload), where);
  if (!statement) return tampered("the payload is not a valid statement: " + statement.error().message, where);
  if (to_text(*statement) != text_of(verified.payload)) return tampered("the statement is not in canonical form", where);
  return VerifiedStatement{.statement = std::move(*statement),
                           .digest = crypto::sha256(verified.payload),
                           .key_id = std::move(verified.key_id),
                           .identity = std::move(verified.identity)};
}

}  // namespace redoubt::attest
