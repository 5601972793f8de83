// SPDX-License-Identifier: Apache-2.0
//
// The form of a backup (docs/formats/backup.md): a tar archive in zstd whose first entry lists all others with their digests,
// whose second is the ledger key's signature of that list, and whose last frame is the SHA-256 of everything before it.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/secret.h"
#include "base/stream.h"
#include "crypto/kdf.h"

namespace redoubt::governance {

inline constexpr const char* kBackupManifestName = "backup.json";
inline constexpr const char* kBackupSignatureName = "backup.sig";
inline constexpr std::size_t kBackupManifestBytesMax = 64 << 20;

struct BackupFile {
  std::string path;  // below the workspace's folder
  std::uint64_t size = 0;
  Digest sha256;
};

// Key files sealed under a passphrase of their own: AES-256-GCM under scrypt.
struct WrappedKeys {
  Bytes salt;
  crypto::ScryptCost cost;
  Bytes sealed;  // nonce | ciphertext | tag
};

struct BackupManifest {
  std::string workspace;  // its id
  std::string created;    // RFC 3339
  std::string identity;   // who made it
  std::string checkpoint; // the ledger's signed checkpoint when it was made
  std::vector<BackupFile> files;  // by path; in this order they stand in the archive
  std::optional<WrappedKeys> keys;
};

// One line of JSON, keys sorted.
std::string encode_backup_manifest(const BackupManifest& manifest);
// Takes exactly what encode_backup_manifest writes, and only paths that belong to a workspace: tampered for any other text,
// unsupported for a later version.
Result<BackupManifest> parse_backup_manifest(std::string_view text);
// What the ledger's key signs.
Bytes backup_signed_bytes(std::string_view manifest);
// Whether a file of a workspace belongs into a backup: no locks, nothing temporary, no view that is made anew.
bool is_backup_path(std::string_view path);

// Key files by name ("operator.key"), in and out of their wrapping. Opening answers permission_denied for a wrong passphrase.
using KeyFiles = std::map<std::string, Secret>;
Result<WrappedKeys> wrap_key_files(const KeyFiles& files, const Secret& passphrase, const std::string& workspace);
Result<KeyFiles> open_key_files(const WrappedKeys& keys, const Secret& passphrase, const std::string& workspace);

}  // namespace redoubt::governance
