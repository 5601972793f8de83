// SPDX-License-Identifier: Apache-2.0
//
// A version of the vault where a data file is asked for: "vault:NAME[@VERSION][#FILE]".
#pragma once

#include "cli/session.h"
#include "provider/job_runner.h"

namespace redoubt::cli {

struct VaultData {
  custody::NamedVersion version;
  vault::ArtifactFile file;      // its path tells JSON lines from CSV where the contents fit both
  std::string held;              // the hold that stands on the version; empty: none
  // Each object that is opened is in the access log before its first byte is read. The session must outlive it.
  std::function<Result<std::unique_ptr<RandomAccess>>()> open;

  std::string text() const { return "vault:" + version.text() + "#" + file.path; }
  // {"name", "version", "artifact", "file", "sha256", "held"}
  Json to_json() const;
};

bool names_vault_data(const std::string& text);
// Without a version the newest that is kept. invalid_argument for a text that is none and for a version of several files of which none is
// named, not_found for what the vault does not keep.
Result<VaultData> find_vault_data(Session& session, const std::string& text);

// Where a step of a pipeline read a version, by the ledger: {"entry", "step", "by", "at"} of each.
Result<Json> uses_of(Session& session, const Digest& artifact);

}  // namespace redoubt::cli
