// SPDX-License-Identifier: Apache-2.0
//
// The embedded ModelRegistry: one SQLite file, every byte of it authenticated. Beside FILE stands FILE.mac with the
// HMAC-SHA-256 of the file under a key from the keyring; while a change is being written it says "pending", and a registry
// found pending (the process was killed) starts empty and is replayed from the ledger. Each call holds FILE.lock, so that
// several processes may use one registry.
#pragma once

#include <filesystem>
#include <memory>

#include "base/secret.h"
#include "base/sqlite.h"
#include "provider/model_registry.h"

namespace redoubt::provider::local {

class SqliteRegistry final : public ModelRegistry {
 public:
  struct Options {
    std::filesystem::path file;
    Secret mac_key;  // 32 bytes
  };
  // tampered when the file is not the one that was last written, or is missing beside its MAC; so does every call later.
  static Result<std::unique_ptr<SqliteRegistry>> open(Options options);
  // Removes what is there, so that the next call starts empty and is replayed.
  static Status discard(const std::filesystem::path& file);

  Result<std::uint64_t> entries_applied() override;
  Status apply(const std::vector<RegistryChange>& changes) override;
  Result<ModelVersion> get(std::string_view name, std::string_view version) override;
  Result<std::vector<ModelVersion>> list() override;

 private:
  explicit SqliteRegistry(Options options) : options_(std::move(options)) {}
  // Runs `body` over the checked database, under the lock.
  template <class Body>
  auto with_database(Body body) -> decltype(body(std::declval<SqlDatabase&>()));
  template <class Body>
  Status change(SqlDatabase& database, Body body);

  Options options_;
};

}  // namespace redoubt::provider::local
