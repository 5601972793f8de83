// SPDX-License-Identifier: Apache-2.0
//
// The JSON of a release bundle, read and written apart from what it means.
#pragma once

#include "ledger/release_bundle.h"

namespace redoubt::ledger {

inline constexpr const char* kReleaseFormat = "redoubt-release-bundle";
inline constexpr int kReleaseVersion = 1;
inline constexpr const char* kReleaseWhere = "release bundle";  // of errors

struct BundledStatement {
  std::uint64_t index = 0;
  MerkleProof proof;
  std::string envelope;
};

struct ReleaseBundle {
  std::string root;        // verifier key of the ledger
  std::string checkpoint;  // signed note
  std::string summary;     // DSSE envelope by the root: the digests of all parts, the identities, name and version
  std::vector<BundledStatement> statements;
  std::vector<ReleaseArtifact> artifacts;
};

std::string to_text(const ReleaseBundle& bundle);
// Takes only what to_text writes, byte for byte. invalid_argument, limit_exceeded.
Result<ReleaseBundle> parse_release_bundle(std::string_view text);

// What the root signs about the bundle: one subject a part, "checkpoint", "statement/<index>", "artifact/<step>/<output>".
attest::Statement summarise(const ReleaseBundle& bundle, const ReleaseContents& contents);
struct ReleaseSummary {
  std::string name, version;
  std::vector<ReleaseIdentity> identities;
};
// What a verified summary says about `bundle`; tampered when its subjects are not the bundle's parts.
Result<ReleaseSummary> read_summary(const attest::Statement& summary, const ReleaseBundle& bundle, Problems& problems);

}  // namespace redoubt::ledger
