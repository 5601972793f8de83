// SPDX-License-Identifier: Apache-2.0
#include "attest/model_bundle.h"

#include "attest/image_signature.h"
#include "crypto/certificate_chain.h"
#include "crypto/hash.h"

namespace redoubt::attest {
namespace {

Result<Bytes> parse_certificate(const Json& certificate, std::string_view where) {
  if (!certificate.is_object() || certificate.size() != 1) return fail(ErrorCode::invalid_argument, "a certificate with unknown members", std::string(where));
  return from_base64(TRY(json_string(certificate, "rawBytes", where)));
}

Result<std::vector<Bytes>> parse_chain(const Json& chain, std::string_view where) {
  const auto certificates = TRY(json_array(chain, "certificates", where));
  if (chain.size() != 1 || certificates.empty() || certificates.size() > crypto::kChainCertificatesMax) {
    return fail(ErrorCode::invalid_argument, "a chain without certificates, or with too many", std::string(where));
  }
  std::vector<Bytes> parsed;
  for (const auto& certificate : certificates) parsed.push_back(TRY(parse_certificate(certificate, where)));
  return parsed;
}

// Up to version 1.0 the tool wrote the key itself, its PEM text in base64.
Status parse_whole_key(const Json& key, std::string_view where, ModelBundle& bundle) {
  if (key.size() != (key.contains("keyDetails") ? 2u : 1u)) return fail(ErrorCode::invalid_argument, "a public key with unknown members", std::string(where));
  const Bytes pem = TRY(from_base64(TRY(json_string(key, "rawBytes", where))));
  bundle.hint = key_hint_of(TRY(crypto::PublicKey::from_pem(text_of(pem))));
  return {};
}

// Exactly one of the ways in which a bundle says who signed.
Status parse_material(const Json& material, std::string_view where, ModelBundle& bundle) {
  const auto refuse = [&](const char* why) { return fail(ErrorCode::invalid_argument, why, std::string(where)); };
  const bool has_log = material.contains("tlogEntries");
  if (has_log && !TRY(json_array(material, "tlogEntries", where)).empty()) {
    return refuse("a bundle with transparency log entries, which are not checked here");
  }
  if (material.size() != (has_log ? 2u : 1u)) return refuse("a bundle with unknown members, or with none that says who signed");
  if (material.contains("publicKey")) {
    const auto key = TRY(json_object(material, "publicKey", where));
    if (key.contains("rawBytes")) return parse_whole_key(key, where, bundle);
    if (key.size() != 1) return refuse("a public key with unknown members");
    bundle.hint = TRY(json_string(key, "hint", where));
    if (bundle.hint.empty()) return refuse("a bundle that does not name its key");
  } else if (material.contains("x509CertificateChain")) {
    bundle.chain = TRY(parse_chain(TRY(json_object(material, "x509CertificateChain", where)), where));
  } else if (material.contains("certificate")) {
    bundle.chain.push_back(TRY(parse_certificate(TRY(json_object(material, "certificate", where)), where)));
  } else {
    return refuse("a bundle with unknown members");
  }
  return {};
}

}  // namespace

std::string key_hint_of(const crypto::PublicKey& key) { return crypto::sha256(key.to_pem()).hex(); }

std::string to_text(const ModelBundle& bundle) {
  Json material = {{"tlogEntries", Json::array()}};
  if (bundle.chain.empty()) {
    material["publicKey"] = {{"hint", bundle.hint}};
  } else {
    Json certificates = Json::array();
    for (const auto& certificate : bundle.chain) certificates.push_back({{"rawBytes", to_base64(certificate)}});
    material["x509CertificateChain"] = {{"certificates", std::move(certificates)}};
  }
  const auto& signature = bundle.envelope.signatures.at(0);
  const Json envelope = {{"payload", to_base64(bundle.envelope.payload)},
                         {"payloadType", bundle.envelope.payload_type},
                         {"signatures", Json::array({{{"keyid", signature.key_id}, {"sig", to_base64(signature.signature)}}})}};
  return dump_json({{"mediaType", kBundleType}, {"verificationMaterial", std::move(material)}, {"dsseEnvelope", envelope}});
}

Result<ModelBundle> parse_model_bundle(std::string_view text, std::string_view where) {
  const auto json = TRY(parse_json(text, where, {.bytes_max = kModelSignatureBytesMax, .depth_max = 16}));
  const auto refuse = [&](const char* why) { return fail(ErrorCode::invalid_argument, why, std::string(where)); };
  if (TRY(json_string(json, "mediaType", where)) != kBundleType) return refuse("not a sigstore bundle of version 0.3");
  if (json.size() != 3) return refuse("a bundle with unknown members");
  ModelBundle bundle;
  TRY(parse_material(TRY(json_object(json, "verificationMaterial", where)), where, bundle));
  bundle.envelope = TRY(parse_envelope(dump_json(TRY(json_object(json, "dsseEnvelope", where))), where));
  if (bundle.envelope.signatures.size() != 1) return refuse("a bundle with more than one signature");
  const auto& key_id = bundle.envelope.signatures[0].key_id;
  if (!key_id.empty() && key_id != bundle.hint) return refuse("a signature that names another key than the bundle");
  return bundle;
}

}  // namespace redoubt::attest
