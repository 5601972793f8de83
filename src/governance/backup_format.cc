// SPDX-License-Identifier: Apache-2.0
#include "governance/backup_format.h"

#include <algorithm>
#include <array>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "crypto/aes_gcm.h"
#include "crypto/hash.h"
#include "crypto/random.h"

namespace redoubt::governance {
namespace {

constexpr const char* kFormat = "redoubt-backup";
constexpr int kBackupVersion = 1;
constexpr std::size_t kSaltBytes = 32, kKeyFilesMax = 1000, kKeyFileBytesMax = 4096;
constexpr std::string_view kSignedLabel = "redoubt backup v1\n";

tl::unexpected<Error> tampered(const char* what) { return fail(ErrorCode::tampered, std::string("the backup was changed: ") + what, kBackupManifestName); }

Json keys_json(const WrappedKeys& keys) {
  return {{"salt", to_base64(keys.salt)}, {"scrypt", {{"n", keys.cost.n}, {"r", keys.cost.r}, {"p", keys.cost.p}}}, {"sealed", to_base64(keys.sealed)}};
}

Result<WrappedKeys> parse_keys(const Json& json) {
  WrappedKeys keys;
  keys.salt = TRY(from_base64(TRY(json_string(json, "salt", kBackupManifestName))));
  keys.sealed = TRY(from_base64(TRY(json_string(json, "sealed", kBackupManifestName))));
  const Json cost = TRY(json_object(json, "scrypt", kBackupManifestName));
  const auto n = TRY(json_integer(cost, "n", kBackupManifestName)), r = TRY(json_integer(cost, "r", kBackupManifestName)),
             p = TRY(json_integer(cost, "p", kBackupManifestName));
  if (keys.salt.size() != kSaltBytes || n < 0 || r < 0 || r > UINT32_MAX || p < 0 || p > UINT32_MAX) return tampered("its keys are malformed");
  keys.cost = {static_cast<std::uint64_t>(n), static_cast<std::uint32_t>(r), static_cast<std::uint32_t>(p)};
  TRY(crypto::check_scrypt_cost(keys.cost));
  return keys;
}

Result<BackupFile> parse_file(const Json& json) {
  BackupFile file;
  file.path = TRY(json_string(json, "path", kBackupManifestName));
  const auto size = TRY(json_integer(json, "size", kBackupManifestName));
  file.sha256 = TRY(Digest::parse(TRY(json_string(json, "sha256", kBackupManifestName))));
  if (size < 0 || !is_backup_path(file.path)) return tampered("it names a file that no workspace has");
  file.size = static_cast<std::uint64_t>(size);
  return file;
}

Result<BackupManifest> parse_backup_fields(const Json& json) {
  BackupManifest manifest;
  manifest.workspace = TRY(json_string(json, "workspace", kBackupManifestName));
  manifest.created = TRY(json_string(json, "created", kBackupManifestName));
  manifest.identity = TRY(json_string(json, "identity", kBackupManifestName));
  manifest.checkpoint = TRY(json_string(json, "checkpoint", kBackupManifestName));
  (void)TRY(parse_rfc3339(manifest.created));
  if (manifest.workspace.size() != 32 || manifest.workspace.find_first_not_of("0123456789abcdef") != std::string::npos) return tampered("its workspace has no id");
  for (const auto& entry : TRY(json_array(json, "files", kBackupManifestName))) {
    auto file = TRY(parse_file(entry));
    if (!manifest.files.empty() && file.path <= manifest.files.back().path) return tampered("its files are not in order");
    manifest.files.push_back(std::move(file));
  }
  if (json.contains("keys")) manifest.keys = TRY(parse_keys(TRY(json_object(json, "keys", kBackupManifestName))));
  return manifest;
}

Result<Secret> wrapping_key(const Secret& passphrase, const WrappedKeys& keys) {
  const auto stretched = TRY(crypto::scrypt(passphrase, keys.salt, keys.cost, 32));
  return crypto::hkdf_sha256(stretched, keys.salt, "redoubt backup v1 keys", 32);
}

// Key files stay below the folder of credentials.
bool is_key_file_name(const std::string& name) {
  return name.size() > 4 && name.size() <= 255 && name.ends_with(".key") && !name.starts_with('.') && is_safe_relative_path(name) && name.find('/') == name.npos;
}

}  // namespace

bool is_backup_path(std::string_view path) {
  static constexpr std::array kFiles = {"workspace.json", "keyring.json", "identities.json", "ca.pem", "access.log"};
  static constexpr std::array kFolders = {"objects/", "secrets/", "state/", "identities/", "ledger/", "images/"};
  if (!is_safe_relative_path(path) || path.front() == '.' || path.find("/.") != path.npos) return false;
  if (path.ends_with(".lock") || path == "ledger/lock" || path.ends_with('\n')) return false;
  return std::any_of(kFiles.begin(), kFiles.end(), [&](const char* name) { return path == name; }) ||
         std::any_of(kFolders.begin(), kFolders.end(), [&](const char* folder) { return path.starts_with(folder); });
}

std::string encode_backup_manifest(const BackupManifest& manifest) {
  Json files = Json::array();
  for (const auto& file : manifest.files) files.push_back({{"path", file.path}, {"size", file.size}, {"sha256", file.sha256.hex()}});
  Json json = {{"format", kFormat},
               {"version", kBackupVersion},
               {"workspace", manifest.workspace},
               {"created", manifest.created},
               {"identity", manifest.identity},
               {"checkpoint", manifest.checkpoint},
               {"files", std::move(files)}};
  if (manifest.keys) json["keys"] = keys_json(*manifest.keys);
  return dump_json(json) + "\n";
}

Result<BackupManifest> parse_backup_manifest(std::string_view text) {
  const auto json = parse_json(text, kBackupManifestName, {.bytes_max = kBackupManifestBytesMax, .depth_max = 4});
  if (!json || !json->is_object()) return tampered("its list of files is not JSON");
  const auto format = json_string(*json, "format", kBackupManifestName);
  const auto version = json_integer(*json, "version", kBackupManifestName);
  if (!format || *format != kFormat || !version || *version < 1) return tampered("it is not a backup of Redoubt");
  if (*version > kBackupVersion) return fail(ErrorCode::unsupported, "a later release made this backup", kBackupManifestName, "use that release");
  auto manifest = parse_backup_fields(*json);
  if (!manifest || encode_backup_manifest(*manifest) != text) return tampered("its list of files is not as it was written");
  return manifest;
}

Bytes backup_signed_bytes(std::string_view manifest) {
  Bytes bytes = to_bytes(kSignedLabel);
  const Digest digest = crypto::sha256(manifest);
  bytes.insert(bytes.end(), digest.value.begin(), digest.value.end());
  return bytes;
}

Result<WrappedKeys> wrap_key_files(const KeyFiles& files, const Secret& passphrase, const std::string& workspace) {
  if (passphrase.empty()) return fail(ErrorCode::invalid_argument, "a passphrase may not be empty");
  // For each file: length of the name (1), name, length of the contents (2, big-endian), contents.
  Secret plain;
  {
    Bytes bytes;
    for (const auto& [name, contents] : files) {
      const auto text = contents.reveal(SecretAccess::for_storage());
      if (!is_key_file_name(name) || text.size() > kKeyFileBytesMax) return fail(ErrorCode::invalid_argument, "not a key file", name);
      bytes.push_back(static_cast<std::uint8_t>(name.size()));
      bytes.insert(bytes.end(), name.begin(), name.end());
      bytes.push_back(static_cast<std::uint8_t>(text.size() >> 8));
      bytes.push_back(static_cast<std::uint8_t>(text.size()));
      bytes.insert(bytes.end(), text.begin(), text.end());
    }
    plain = Secret(std::move(bytes));
  }
  WrappedKeys keys;
  keys.salt = crypto::random_bytes(kSaltBytes);
  const auto key = TRY(wrapping_key(passphrase, keys));
  keys.sealed = crypto::random_bytes(crypto::kAesGcmNonceBytes);
  const auto sealed = crypto::aes_gcm_seal(key, keys.sealed, plain.reveal(SecretAccess::for_storage()), view_of(workspace));
  keys.sealed.insert(keys.sealed.end(), sealed.begin(), sealed.end());
  return keys;
}

Result<KeyFiles> open_key_files(const WrappedKeys& keys, const Secret& passphrase, const std::string& workspace) {
  if (keys.sealed.size() < crypto::kAesGcmNonceBytes) return tampered("its keys are malformed");
  const auto key = TRY(wrapping_key(passphrase, keys));
  const ByteView sealed(keys.sealed);
  auto opened = crypto::aes_gcm_open(key, sealed.first(crypto::kAesGcmNonceBytes), sealed.subspan(crypto::kAesGcmNonceBytes), view_of(workspace));
  if (!opened) return fail(ErrorCode::permission_denied, "the passphrase does not open the keys in this backup", kBackupManifestName);
  const Secret plain(std::move(*opened));
  ByteView rest = plain.reveal(SecretAccess::for_storage());
  KeyFiles files;
  while (!rest.empty()) {
    const std::size_t name_size = rest[0];
    if (rest.size() < 1 + name_size + 2) return tampered("its keys are malformed");
    const std::string name = to_text(rest.subspan(1, name_size));
    const std::size_t size = (std::size_t{rest[1 + name_size]} << 8) | rest[2 + name_size];
    rest = rest.subspan(3 + name_size);
    if (size > rest.size() || !is_key_file_name(name) || files.size() >= kKeyFilesMax) return tampered("its keys are malformed");
    files[name] = Secret(text_of(rest.first(size)));
    rest = rest.subspan(size);
  }
  return files;
}

}  // namespace redoubt::governance
