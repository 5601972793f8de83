// SPDX-License-Identifier: Apache-2.0
#include "attest/image_signature.h"

#include <algorithm>

#include "attest/dsse.h"
#include "attest/tampered.h"

namespace redoubt::attest {
namespace {

constexpr const char* kSimpleType = "cosign container image signature";

Status check_key(const crypto::SigningKey& key) {
  if (key.public_key().algorithm() == crypto::SignatureAlgorithm::ecdsa_p256) return {};
  return fail(ErrorCode::invalid_argument, "signatures of images need a P-256 key", {}, "make one: openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt");
}

// The digest that a simple signing document is about; invalid_argument for another document.
Result<Digest> image_of(std::string_view payload, std::string_view where) {
  const Json json = TRY(parse_json(payload, where, {.bytes_max = kImageSignatureBytesMax, .depth_max = 16}));
  const Json critical = TRY(json_object(json, "critical", where));
  if (TRY(json_string(critical, "type", where)) != kSimpleType) return fail(ErrorCode::invalid_argument, "not a signature of an image", std::string(where));
  const auto digest = TRY(json_string(TRY(json_object(critical, "image", where)), "docker-manifest-digest", where));
  if (!digest.starts_with("sha256:")) return fail(ErrorCode::invalid_argument, "a digest that is no SHA-256", std::string(where));
  return Digest::parse(digest);
}

struct Signed {
  Bytes payload, signature;
};

// The payload and the only signature of a bundle that a key made; what else a bundle may hold is no matter to who names the key.
Result<Signed> parse_bundle(std::string_view text, std::string_view where) {
  const Json bundle = TRY(parse_json(text, where, {.bytes_max = kImageSignatureBytesMax, .depth_max = 32}));
  const auto refuse = [&](const char* why) { return fail(ErrorCode::invalid_argument, why, std::string(where)); };
  if (TRY(json_string(bundle, "mediaType", where)) != kBundleType) return refuse("not a sigstore bundle of version 0.3");
  const Json envelope = TRY(json_object(bundle, "dsseEnvelope", where));
  if (TRY(json_string(envelope, "payloadType", where)) != kStatementPayloadType) return refuse("the signed payload is no in-toto statement");
  const Json signatures = TRY(json_array(envelope, "signatures", where));
  if (signatures.size() != 1) return refuse("not exactly one signature");
  Signed out;
  out.payload = TRY(from_base64(TRY(json_string(envelope, "payload", where))));
  out.signature = TRY(from_base64(TRY(json_string(signatures[0], "sig", where))));
  return out;
}

Result<ImageStatement> parse_image_statement(ByteView payload, const Digest& image, std::string_view where) {
  const Json json = TRY(parse_json(text_of(payload), where, {.bytes_max = kImageSignatureBytesMax, .depth_max = 32}));
  if (TRY(json_string(json, "_type", where)) != kStatementType) return fail(ErrorCode::invalid_argument, "not an in-toto Statement v1", std::string(where));
  const Json subjects = TRY(json_array(json, "subject", where));
  const bool about = std::any_of(subjects.begin(), subjects.end(), [&](const Json& subject) {
    return subject.is_object() && json_or(json_or(subject, "digest", Json::object()), "sha256", "") == image.hex();
  });
  if (!about) return fail(ErrorCode::invalid_argument, "signed for another image", std::string(where));
  return ImageStatement{TRY(json_string(json, "predicateType", where)), json_or(json, "predicate", Json::object())};
}

}  // namespace

Result<SimpleSignature> sign_simple(const std::string& repository, const Digest& image, const crypto::SigningKey& key) {
  TRY(check_key(key));
  SimpleSignature made;
  made.payload = dump_json({{"critical", {{"identity", {{"docker-reference", repository}}}, {"image", {{"docker-manifest-digest", image.tagged()}}}, {"type", kSimpleType}}}, {"optional", nullptr}});
  made.signature = to_base64(key.sign(view_of(made.payload)));
  return made;
}

Status verify_simple(std::string_view payload, std::string_view signature, const Digest& image, const crypto::PublicKey& key, std::string_view where) {
  const auto bytes = from_base64(signature);
  if (!bytes || !key.verify(view_of(payload), *bytes)) return tampered("the image's signature does not verify with this key", where);
  const auto about = image_of(payload, where);
  if (!about) return tampered(about.error().message, where);
  if (*about != image) return tampered("signed for another image: " + about->tagged(), where);
  return {};
}

Result<std::string> sign_image_bundle(const Digest& image, const std::string& name, const std::string& predicate_type, const Json& predicate, const crypto::SigningKey& key) {
  TRY(check_key(key));
  const Statement statement{{{name, image}}, predicate_type, predicate};
  const auto envelope = sign_envelope(kStatementPayloadType, view_of(to_text(statement)), key);
  // cosign names a key by the SHA-256 over its DER form.
  const auto hint = to_base64(TRY(from_hex(key.public_key().key_id())));
  return dump_json({{"mediaType", kBundleType},
                    {"verificationMaterial", {{"publicKey", {{"hint", hint}}}, {"tlogEntries", Json::array()}}},
                    {"dsseEnvelope", {{"payload", to_base64(envelope.payload)}, {"payloadType", envelope.payload_type}, {"signatures", Json::array({{{"sig", to_base64(envelope.signatures[0].signature)}}})}}}});
}

Result<ImageStatement> verify_image_bundle(std::string_view bundle, const Digest& image, const crypto::PublicKey& key, std::string_view where) {
  const auto parts = parse_bundle(bundle, where);
  if (!parts) return tampered(parts.error().message, where);
  if (!key.verify(pre_authentication_encoding(kStatementPayloadType, parts->payload), parts->signature)) return tampered("the image's signature does not verify with this key", where);
  auto statement = parse_image_statement(parts->payload, image, where);
  if (!statement) return tampered(statement.error().message, where);
  return statement;
}

}  // namespace redoubt::attest
