// SPDX-License-Identifier: Apache-2.0
//
// An ObjectStore and a SecretStore in memory that keep the whole contract, for tests.
#pragma once

#include <functional>
#include <map>
#include <mutex>

#include "provider/object_store.h"
#include "provider/secret_store.h"

namespace redoubt::provider::testing {

class FakeObjectStore final : public ObjectStore {
 public:
  Status put(std::string_view key, Source& contents, PutMode mode) override;
  Result<std::unique_ptr<RandomAccess>> open(std::string_view key) override;
  Result<std::vector<std::string>> list(std::string_view prefix) override;
  Status remove(std::string_view key) override;

  // The attacker's hand: the bytes as they lie in the store, to be read and changed.
  Bytes& bytes_of(std::string_view key);

 private:
  std::mutex mutex_;
  std::map<std::string, Bytes, std::less<>> objects_;
};

class FakeSecretStore final : public SecretStore {
 public:
  explicit FakeSecretStore(const Clock& clock) : clock_(clock) {}
  Result<SecretInfo> put(std::string_view name, const Secret& value) override;
  Result<Secret> get(std::string_view name) override;
  Result<Secret> get_previous(std::string_view name) override;
  Result<std::vector<SecretInfo>> list() override;
  Result<std::optional<TimePoint>> remove(std::string_view name, Removal how) override;
  Result<std::optional<SecretInfo>> rotate(std::string_view name) override;
  Result<std::vector<UnreadableSecret>> verify_all() override { return std::vector<UnreadableSecret>(); }

 private:
  struct Entry {
    SecretInfo info;
    Secret current, previous;
  };
  const Clock& clock_;
  std::mutex mutex_;
  std::map<std::string, Entry, std::less<>> entries_;
};

}  // namespace redoubt::provider::testing
