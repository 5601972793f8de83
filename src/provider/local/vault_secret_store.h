// SPDX-License-Identifier: Apache-2.0
//
// The embedded SecretStore: one sealed file a secret, named by an HMAC of the secret's name under a key of its own, so that
// the folder tells neither names nor values. An older whole file put back is not noticed.
#pragma once

#include <filesystem>
#include <memory>

#include "provider/secret_store.h"
#include "vault/sealed_file.h"

namespace redoubt::provider::local {

class VaultSecretStore final : public SecretStore {
 public:
  struct Options {
    std::filesystem::path folder;  // made where missing
    std::string workspace;         // part of every context
    vault::SealingKey key;         // its KMS must outlive the store
    vault::BeforeWrite before_write = {};
  };
  // `clock` must outlive the store. tampered when secrets are there but the key of their names is not.
  static Result<std::unique_ptr<VaultSecretStore>> open(Options options, const Clock& clock);

  // Whether the store puts a file of this name into its folder.
  static bool is_file_name(std::string_view name);

  Result<SecretInfo> put(std::string_view name, const Secret& value) override;
  Result<Secret> get(std::string_view name) override;
  Result<Secret> get_previous(std::string_view name) override;
  Result<std::vector<SecretInfo>> list() override;
  // For ever, whichever removal is asked for.
  Result<std::optional<TimePoint>> remove(std::string_view name, Removal how) override;
  Result<std::optional<SecretInfo>> rotate(std::string_view name) override;
  Result<std::vector<UnreadableSecret>> verify_all() override;

 private:
  struct Record {
    SecretInfo info;
    Secret current, previous;
  };
  VaultSecretStore(Options options, const Clock& clock) : options_(std::move(options)), clock_(clock) {}
  Status load_name_key();
  std::string file_name(std::string_view name) const;
  vault::SealedFile sealed_file(const std::string& file_name) const;
  Result<Record> read(std::string_view name) const;
  Result<Record> read_file_named(const std::string& file_name) const;

  Options options_;
  const Clock& clock_;
  Secret name_key_;
};

}  // namespace redoubt::provider::local
