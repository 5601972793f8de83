// SPDX-License-Identifier: Apache-2.0
//
// A release in one file: the statements of its chain with their proofs of inclusion, the checkpoint, the identities, the
// model card, the SBOM and the model's signature (docs/formats/release-bundle.md). It is verified without a workspace and
// without a network; the ledger's public key is all that a verifier needs to know. No byte of it can change unnoticed.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ledger/evidence.h"
#include "ledger/release_chain.h"

namespace redoubt::ledger {

inline constexpr std::size_t kReleaseBundleBytesMax = 64 << 20;

// An output of a step that the bundle carries: a single blob, or a manifest of the vault with any of the files it names.
struct ReleaseArtifact {
  std::string step, output;            // "register", "card"
  std::string manifest;                // the manifest's JSON, empty for a blob
  std::map<std::string, Bytes> files;  // by path; a blob is the one file ""
};

struct ReleaseContents {
  std::string name, version;  // as the register statement's result has them
  TimePoint created{};
  std::vector<ReleaseIdentity> identities;  // everybody whose signature is in the chain
  std::vector<std::uint64_t> entries;       // the chain's entries in the ledger (find_release)
  // The verifier asks for the manifests of acquire/model, train/adapter (or train/model, where every
  // weight was trained) and register/release, register/card and
  // register/signature with all files, and image/sbom.
  std::vector<ReleaseArtifact> artifacts;
};

// The entries of one version's chain, in ledger order: its register statement, all that it names, the reviews and
// deployments that name it. not_found when no such version was registered.
Result<std::vector<Evidence>> find_release(EvidenceLog& evidence, const std::string& name, const std::string& version);

// The bundle's bytes. `root` is the ledger's key.
Result<std::string> make_release_bundle(EvidenceLog& evidence, const crypto::SigningKey& root,
                                        const ReleaseContents& contents);

struct ReleaseReport {
  std::string name, version;
  std::string root;         // the ledger's verifier key, "origin+hash+key"
  bool root_known = false;  // whether the caller named the key; if not, a person has to compare `root`
  std::vector<ReleaseStep> steps;
  std::vector<std::string> files;  // "register/card/card.md"
  Problems problems;  // kinds: bundle, root, signature, proof, checkpoint, contents, artifact, model-signature, and those of
                      // the chain
};

ReleaseReport verify_release_bundle(std::string_view bundle, const std::optional<crypto::PublicKey>& root);

// The bytes of one file of a bundle, "register/card/card.md"; only for a bundle that was verified. not_found.
Result<Bytes> release_file(std::string_view bundle, const std::string& path);

}  // namespace redoubt::ledger
