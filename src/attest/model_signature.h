// SPDX-License-Identifier: Apache-2.0
//
// OpenSSF Model Signing v1.0: a `model.sig` beside a model's files, a sigstore bundle with a signed list of every file and
// its SHA-256 (docs/formats/attestation.md). The `model_signing` tool verifies what this writes and the other way round,
// with ECDSA P-256 keys. Stricter than the tool: exactly one signature, no file ignored but the signature itself.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "attest/statement.h"
#include "base/problem.h"
#include "crypto/sign.h"

namespace redoubt::attest {

inline constexpr const char* kModelSignatureName = "model.sig";
inline constexpr std::size_t kModelSignatureBytesMax = 16 << 20;

struct ModelResource {
  std::string path;  // below the model's folder, with '/'
  Digest digest;     // SHA-256 of its bytes

  bool operator==(const ModelResource&) const = default;
};

// The bundle's JSON. `key` is P-256 (invalid_argument for another); paths are safe, relative and named once; the model has a
// name and at least one file. A file "model.sig" is left out.
Result<std::string> sign_model(const std::string& name, std::vector<ModelResource> files, const crypto::SigningKey& key);

struct SignedModel {
  std::string name;
  Digest digest;                     // over the files' digests, in order
  std::vector<ModelResource> files;  // in order of their path components
};

// What the bundle says, once its only signature has been verified. tampered when it is anything but a valid signature by
// `key`; unsupported for another serialization (shards, blake2) than whole files with SHA-256.
Result<SignedModel> verify_model_signature(std::string_view bundle, const crypto::PublicKey& key, std::string_view where);

// How the files differ from what was signed: "extra", "missing" and "changed", each with the file's path.
Problems compare_model(const SignedModel& signed_model, std::vector<ModelResource> files);

// Every file of a folder with its digest, without `model.sig` at its top. Links and special files are invalid_argument.
Result<std::vector<ModelResource>> hash_model_folder(const std::filesystem::path& folder);

// The folder against its own "model.sig".
Result<Problems> verify_model_folder(const std::filesystem::path& folder, const crypto::PublicKey& key);

}  // namespace redoubt::attest
