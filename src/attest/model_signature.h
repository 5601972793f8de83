// SPDX-License-Identifier: Apache-2.0
//
// OpenSSF Model Signing v1.0: a `model.sig` beside a model's files, a sigstore bundle with a signed list of every file and
// its SHA-256 (docs/formats/attestation.md). The `model_signing` tool verifies what this writes and the other way round,
// with ECDSA keys over P-256, P-384 and P-521, by a key's name or by certificates. Stricter than the tool: exactly one
// signature, certificates that are valid now, no file ignored but the signature and what the verifier names.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <variant>
#include <vector>

#include "attest/model_bundle.h"
#include "attest/statement.h"
#include "base/problem.h"
#include "crypto/certificate_chain.h"
#include "crypto/sign.h"

namespace redoubt::attest {

inline constexpr const char* kModelSignatureName = "model.sig";

struct ModelResource {
  std::string path;  // below the model's folder, with '/'
  Digest digest;     // SHA-256 of its bytes

  bool operator==(const ModelResource&) const = default;
};

// Who signs: a key in memory or in a token, and the certificates that vouch for it, the key's own first.
struct ModelSigner {
  crypto::PublicKey key;
  std::function<Result<Bytes>(ByteView message)> sign;
  std::vector<Bytes> chain = {};  // DER; empty: the bundle names the key itself
};
// `key` must outlive the signer.
ModelSigner signer_of(const crypto::SigningKey& key);

// The bundle's JSON. The key is ECDSA and that of the chain's first certificate, where there is one (else invalid_argument);
// paths are safe, relative and named once; the model has a name and at least one file. A file "model.sig" is left out.
// `ignored` is written down for whoever reads it; the files below are left out by the caller.
Result<std::string> sign_model(const std::string& name, std::vector<ModelResource> files, const ModelSigner& signer,
                               const std::vector<std::string>& ignored = {});
Result<std::string> sign_model(const std::string& name, std::vector<ModelResource> files, const crypto::SigningKey& key);

struct SignedModel {
  std::string name;
  Digest digest;                     // over the files' digests, in order
  std::vector<ModelResource> files;  // in order of their path components
  std::optional<crypto::CertifiedSigner> signer = {};  // where certificates vouch for the key
  std::string key_id = {};           // crypto::PublicKey::key_id of the key that signed
};

// Authorities that may vouch for a signer, and the time at which everything must be valid.
struct CertificateTrust {
  std::vector<Bytes> authorities;  // DER
  TimePoint at{};
};
using ModelTrust = std::variant<crypto::PublicKey, CertificateTrust>;

// What the bundle says, once its only signature has been verified. tampered when it is anything but a valid signature by who
// is trusted; unsupported for another serialization (shards, blake2) than whole files with SHA-256.
Result<SignedModel> verify_model_signature(std::string_view bundle, const ModelTrust& trust, std::string_view where);

// How the files differ from what was signed: "extra", "missing" and "changed", each with the file's path, and "renamed" where a
// missing file's bytes lie under another name.
Problems compare_model(const SignedModel& signed_model, std::vector<ModelResource> files);

// Every file of a folder with its digest, without `model.sig` at its top and without what is `ignored` (paths below the folder:
// a file, or a folder with all that it holds). Links and special files are invalid_argument, even ignored ones.
Result<std::vector<ModelResource>> hash_model_folder(const std::filesystem::path& folder, const std::vector<std::string>& ignored = {});

// The folder against its own "model.sig".
Result<Problems> verify_model_folder(const std::filesystem::path& folder, const ModelTrust& trust);

}  // namespace redoubt::attest
