// SPDX-License-Identifier: Apache-2.0
#include "attest/signer_policy.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/file.h"
#include "base/pattern.h"
#include "crypto/hash.h"

namespace redoubt::attest {
namespace {

constexpr const char* kWhere = "signers";

Result<std::string> read_named(const std::filesystem::path& folder, const std::string& file) {
  auto text = read_text_file(folder / file, 1 << 20);
  if (!text) return fail(text.error().code, "a signer's key or authority can't be read: " + text.error().message, (folder / file).string(), "paths are relative to the policy's file");
  return text;
}

// A policy that names a private key would be read by whoever may read policies.
Result<AcceptedSigner> read_signer(const Json& json, const std::filesystem::path& folder, crypto::Sha256& hash) {
  AcceptedSigner signer{.name = TRY(json_string(json, "name", kWhere)), .key = {}, .authorities = {}, .identities = {}};
  const std::string key = json_or(json, "public_key", ""), chain = json_or(json, "certificate_chain", "");
  if (key.empty() == chain.empty()) {
    return fail(ErrorCode::invalid_argument, "a signer has either a public_key or a certificate_chain", signer.name);
  }
  const std::string pem = TRY(read_named(folder, key.empty() ? chain : key));
  hash.update(crypto::sha256(pem).bytes());
  for (const auto& identity : json_or(json, "identities", Json::array())) signer.identities.push_back(identity.get<std::string>());
  if (chain.empty()) {
    auto parsed = crypto::PublicKey::from_pem(pem);
    if (!parsed) return fail(parsed.error().code, parsed.error().message, (folder / key).string(), "name a PEM file with the signer's public key");
    if (!signer.identities.empty()) return fail(ErrorCode::invalid_argument, "identities stand in certificates, and this signer has a bare key", signer.name);
    signer.key = std::move(*parsed);
  } else {
    auto authorities = crypto::certificates_from_pem(pem);
    if (!authorities) return fail(authorities.error().code, authorities.error().message, (folder / chain).string());
    signer.authorities = std::move(*authorities);
  }
  return signer;
}

Result<SignerRule> read_rule(const Json& json, const std::filesystem::path& folder, crypto::Sha256& hash) {
  SignerRule rule;
  rule.models = TRY(json_array(json, "models", kWhere)).get<std::vector<std::string>>();
  rule.without_signature = TRY(json_string(json, "unsigned", kWhere)) == "accept" ? Unsigned::accepted : Unsigned::refused;
  for (const auto& signer : TRY(json_array(json, "signers", kWhere))) rule.signers.push_back(TRY(read_signer(signer, folder, hash)));
  return rule;
}

bool has_identity(const AcceptedSigner& accepted, const SignedModel& model) {
  if (accepted.identities.empty() || !model.signer) return true;
  return std::any_of(accepted.identities.begin(), accepted.identities.end(), [&](const std::string& pattern) {
    const auto& names = model.signer->names;
    return fits_pattern(pattern, model.signer->subject) || std::any_of(names.begin(), names.end(), [&](const std::string& name) { return fits_pattern(pattern, name); });
  });
}

Result<SignedModel> verify_for(const AcceptedSigner& accepted, std::string_view bundle, const std::string& where, TimePoint now) {
  const ModelTrust trust = accepted.key ? ModelTrust(*accepted.key) : ModelTrust(CertificateTrust{accepted.authorities, now});
  auto model = TRY(verify_model_signature(bundle, trust, where));
  if (has_identity(accepted, model)) return model;
  return fail(ErrorCode::permission_denied, fmt::format("the certificate speaks for '{}', who is not accepted", model.signer->subject), where);
}

}  // namespace

Json SignerVerdict::to_json() const {
  if (signer.empty()) return {{"signed", false}};
  Json json = {{"signed", true}, {"signer", signer}, {"key_id", key_id}, {"signature", signature}};
  if (!identity.empty()) json["identity"] = identity;
  return json;
}

Result<SignerPolicy> SignerPolicy::from_json(const Json& checked, const std::filesystem::path& folder) {
  SignerPolicy policy;
  crypto::Sha256 hash;
  hash.update(dump_json(checked));
  for (const auto& rule : TRY(json_array(checked, "rules", kWhere))) policy.rules_.push_back(TRY(read_rule(rule, folder, hash)));
  policy.unlisted_.without_signature = TRY(json_string(checked, "unlisted", kWhere)) == "accept" ? Unsigned::accepted : Unsigned::refused;
  policy.digest_ = hash.finish();
  return policy;
}

const SignerRule& SignerPolicy::rule_for(std::string_view model) const {
  for (const auto& rule : rules_) {
    if (std::any_of(rule.models.begin(), rule.models.end(), [&](const std::string& pattern) { return fits_pattern(pattern, model); })) return rule;
  }
  return unlisted_;
}

Result<SignerVerdict> SignerPolicy::judge(const std::string& model, std::string_view bundle, TimePoint now) const {
  const SignerRule& rule = rule_for(model);
  const auto refuse = [&](std::string why, std::string hint) { return fail(ErrorCode::gate_refused, std::move(why), model, std::move(hint)); };
  // A model whose rule knows no signer is judged by nobody's signature, so one that it carries proves nothing.
  const bool counts_as_unsigned = bundle.empty() || rule.signers.empty();
  if (counts_as_unsigned && rule.without_signature == Unsigned::accepted) return SignerVerdict{};
  if (&rule == &unlisted_) return refuse("the policy of signers has no rule for this model", "add a rule that names who may sign it");
  if (bundle.empty()) return refuse("the model is not signed, and the policy asks for a signature", "use a model that carries model.sig");
  std::vector<std::string> reasons;
  for (const auto& accepted : rule.signers) {
    auto verified = verify_for(accepted, bundle, model, now);
    if (verified) {
      return SignerVerdict{accepted.name, verified->key_id, verified->signer ? verified->signer->subject : "", crypto::sha256(bundle).hex(), std::move(verified->files)};
    }
    reasons.push_back(accepted.name + ": " + verified.error().message);
  }
  return refuse(fmt::format("the model's signature is by nobody who is accepted for it ({})", fmt::join(reasons, "; ")), "use a model that an accepted signer signed, or add the signer to the policy");
}

}  // namespace redoubt::attest
