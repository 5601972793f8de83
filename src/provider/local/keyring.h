// SPDX-License-Identifier: Apache-2.0
//
// The file keyring.json (docs/formats/keyring.md): named keys sealed under a root key, and the root key sealed under what
// the user holds, a passphrase or a key file. Every byte of the file is authenticated or compared.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "base/secret.h"
#include "crypto/kdf.h"

namespace redoubt::provider::local {

struct Passphrase {
  Secret text;
  crypto::ScryptCost cost = {};  // for a keyring that is made or locked anew; a reader takes the file's
};
struct KeyFile {
  std::filesystem::path path;  // made by vault::make_key_file
};
// What opens a keyring.
using Unlock = std::variant<Passphrase, KeyFile>;
enum class UnlockKind { passphrase, key_file };

// The versions of each named key, the first is version 1; no versions: destroyed.
using KeyVersions = std::map<std::string, std::vector<Secret>, std::less<>>;

// The file's sections, not yet opened.
struct KeyringFile {
  struct Lock {
    UnlockKind kind = UnlockKind::key_file;
    Bytes salt;               // 32 bytes
    crypto::ScryptCost cost;  // for a passphrase
    Bytes check;              // 32 bytes that only the right passphrase or key file derives
  };
  Lock lock;
  Bytes root;  // the root key, sealed under what `lock` derives
  Bytes keys;  // the named keys, sealed under the root key
};

std::string encode_keyring(const KeyringFile& file);
// Takes exactly what encode_keyring writes: tampered for any other text, unsupported for a later version.
Result<KeyringFile> parse_keyring(std::string_view text);

// Draws a salt and seals the root key. invalid_argument for an empty passphrase; the errors of read_key_file.
Status lock_root(const Secret& root, const Unlock& unlock, KeyringFile& into);
// permission_denied "wrong passphrase or key file", or tampered when the sealed root does not verify.
Result<Secret> unlock_root(const KeyringFile& file, const Unlock& unlock);

Bytes seal_keys(const KeyVersions& keys, const Secret& root);
Result<KeyVersions> open_keys(ByteView sealed, const Secret& root);

}  // namespace redoubt::provider::local
