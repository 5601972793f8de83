// SPDX-License-Identifier: Apache-2.0
//
// A workspace in one file, and back (docs/formats/backup.md). Everything that is secret stays sealed as it is; key files go
// along only under a passphrase of their own, and never in clear.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "base/progress.h"
#include "governance/backup_format.h"
#include "governance/workspace.h"
#include "ledger/ledger.h"

namespace redoubt::governance {

struct BackupOptions {
  std::filesystem::path file;
  std::string identity;
  // With one, the key files of the folder of credentials are part of the backup, sealed under it.
  std::optional<Secret> keys_passphrase = {};
};

struct BackupSummary {
  std::uint64_t files = 0, bytes = 0;  // of the workspace
  std::uint64_t archive_bytes = 0;
  ledger::Checkpoint checkpoint;
  Digest manifest;  // SHA-256 of backup.json
};

// The state of one instant; call it under the workspace's lock. The file appears whole or not at all; one that is there is
// already_exists. limit_exceeded when the disk is full.
Result<BackupSummary> make_backup(Workspace& workspace, const ledger::LedgerOptions& ledger, const crypto::SigningKey& ledger_key,
                                  const BackupOptions& options, const Clock& clock, Progress& progress);

// A backup's files in a folder of their own, each with the digest that the manifest says. Who signed it is not known yet:
// `verify_backup_signature` says so once the workspace's keys are open.
struct UnpackedBackup {
  BackupManifest manifest;
  std::string manifest_text;
  Bytes signature;
  std::uint64_t bytes = 0;
};
// Into `folder`, which must be new and empty. tampered, limit_exceeded.
Result<UnpackedBackup> unpack_backup(const std::filesystem::path& file, const std::filesystem::path& folder, Progress& progress);
// tampered unless the ledger's key signed the manifest and the checkpoint in it is that of the ledger that was unpacked.
Status verify_backup_signature(const UnpackedBackup& backup, const ledger::LedgerOptions& ledger, const crypto::PublicKey& ledger_key);

// limit_exceeded, naming path and bytes, when the file system of `folder` has less than `bytes` free.
Status check_free_space(const std::filesystem::path& folder, std::uint64_t bytes);

}  // namespace redoubt::governance
