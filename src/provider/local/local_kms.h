// SPDX-License-Identifier: Apache-2.0
//
// The embedded Kms: named keys in a sealed file, URIs "local:NAME" with NAME of [a-z0-9-], 1 to 64 bytes. Changes by another
// process are seen at the next call. Whoever reads the memory of this process has the keys; whoever has only the file has
// not.
#pragma once

#include <filesystem>
#include <memory>
#include <mutex>

#include "provider/kms.h"
#include "provider/local/keyring.h"

namespace redoubt::provider::local {

class LocalKms final : public Kms {
 public:
  struct Options {
    std::string scheme = "local:";  // of its keys' URIs
    bool overwrite_destroyed = false;  // the file that held a destroyed key, before it is let go; not where others hold links to it
  };
  // A keyring without keys; already_exists when the file is there.
  static Result<std::unique_ptr<LocalKms>> create(std::filesystem::path file, const Unlock& unlock, Options options);
  static Result<std::unique_ptr<LocalKms>> create(std::filesystem::path file, const Unlock& unlock) { return create(std::move(file), unlock, Options()); }
  // permission_denied for the wrong passphrase or key file, tampered for any changed byte.
  static Result<std::unique_ptr<LocalKms>> open(std::filesystem::path file, const Unlock& unlock, Options options);
  static Result<std::unique_ptr<LocalKms>> open(std::filesystem::path file, const Unlock& unlock) { return open(std::move(file), unlock, Options()); }
  // What to ask the user for.
  static Result<UnlockKind> unlock_kind(const std::filesystem::path& file);

  Result<Bytes> wrap(std::string_view key_uri, const Secret& data_key, const EncryptionContext& context) override;
  Result<Secret> unwrap(std::string_view key_uri, ByteView wrapped, const EncryptionContext& context) override;
  Status create_key(std::string_view key_uri) override;
  Status rotate_key(std::string_view key_uri) override;
  Status destroy_key(std::string_view key_uri) override;

  // From now on the keyring opens with `next`. An old copy of the file still opens with what it was locked by.
  Status change_unlock(const Unlock& next);
  // Whether a key of that URI was there and is destroyed.
  Result<bool> is_destroyed(std::string_view key_uri);
  // The names and the newest version of the keys that are not destroyed.
  Result<std::map<std::string, std::size_t>> versions();
  // Whether what `wrap` answered is by the newest version of its key; false as well for what it never answered.
  bool is_current(std::string_view key_uri, ByteView wrapped);

 private:
  // Which file was read: every write makes a new inode.
  struct Identity {
    std::uint64_t device = 0, inode = 0;
    std::int64_t changed_seconds = 0, changed_nanoseconds = 0;
    bool operator==(const Identity&) const = default;
  };
  LocalKms(std::filesystem::path path, Secret root, Options options) : path_(std::move(path)), root_(std::move(root)), options_(std::move(options)) {}
  Result<std::string_view> name_of(std::string_view key_uri) const;
  Status refresh();
  Result<Identity> identity() const;
  template <class Change>
  Status change(Change change);
  Result<const std::vector<Secret>*> find(std::string_view key_uri);

  std::filesystem::path path_;
  Secret root_;
  const Options options_;
  std::mutex mutex_;
  Identity loaded_;
  KeyringFile file_;
  KeyVersions keys_;
};

}  // namespace redoubt::provider::local
