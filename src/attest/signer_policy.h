// SPDX-License-Identifier: Apache-2.0
//
// Whose signatures are accepted for which models (docs/formats/signers.md). The first rule whose pattern fits a model's name
// decides; where none does, `unlisted` does.
#pragma once

#include <optional>

#include "attest/model_signature.h"

namespace redoubt::attest {

struct AcceptedSigner {
  std::string name;                              // for people and for the record
  std::optional<crypto::PublicKey> key;          // either a key,
  std::vector<Bytes> authorities;                // or authorities in DER,
  std::vector<std::string> identities;           // and whom they have to vouch for: a subject, or a name (patterns); none: anybody
};

enum class Unsigned { refused, accepted };

struct SignerRule {
  std::vector<std::string> models;               // patterns of OWNER/NAME
  Unsigned without_signature = Unsigned::refused;
  std::vector<AcceptedSigner> signers;           // none: no signature is accepted
};

// Who signed, as it is written into the record of the step.
struct SignerVerdict {
  std::string signer;                            // AcceptedSigner::name; empty: not signed, and that is accepted
  std::string key_id, identity, signature;       // of the key; the certificate's subject; SHA-256 of model.sig
  std::vector<ModelResource> files;              // what was signed
  Json to_json() const;
};

class SignerPolicy {
 public:
  // Keys and authorities are read from files relative to `folder`. `checked` has passed config/schema/signers.schema.json.
  static Result<SignerPolicy> from_json(const Json& checked, const std::filesystem::path& folder);

  // Over everything that decides, keys included: a step that was judged by another policy is judged again.
  const Digest& digest() const { return digest_; }
  const SignerRule& rule_for(std::string_view model) const;

  // Judges a model's signature ("" where there is none) and answers what was signed. gate_refused names the model and why: no
  // signature, one by nobody who is accepted for it, or no rule for the model. The files are the caller's to compare.
  Result<SignerVerdict> judge(const std::string& model, std::string_view bundle, TimePoint now) const;

 private:
  std::vector<SignerRule> rules_;
  SignerRule unlisted_;
  Digest digest_;
};

}  // namespace redoubt::attest
