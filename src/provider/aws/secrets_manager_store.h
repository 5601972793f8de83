// SPDX-License-Identifier: Apache-2.0
//
// Secrets in AWS Secrets Manager. The version that holds a value carries its number in its id, so that numbers survive whoever
// else reads or rotates the secret; versions that were made elsewhere count on from ours.
#pragma once

#include <memory>

#include "base/clock.h"
#include "provider/aws/api/client.h"
#include "provider/secret_store.h"

namespace redoubt::provider::aws {

struct SecretsManagerStoreOptions {
  std::string prefix = "redoubt/";  // before each name
  std::string kms_key = {};         // alias, id or ARN; empty: the account's aws/secretsmanager
  int recovery_days = 30;           // 7 to 30: how long a removed secret can be taken back
  int rotation_wait_s_max = 300;    // for a rotation function to make the next value
  int delete_wait_ms_max = 30'000;  // Secrets Manager deletes in the background: how long a name may take to be free again
};

class SecretsManagerStore final : public SecretStore {
 public:
  // Does not ask AWS anything.
  static Result<std::unique_ptr<SecretsManagerStore>> create(SecretsManagerStoreOptions options, Client& client);

  // `changed` is by the clock of AWS. A secret that is marked for deletion is restored, whoever marked it. Two puts of one value at the same
  // moment may be one version.
  Result<SecretInfo> put(std::string_view name, const Secret& value) override;
  Result<Secret> get(std::string_view name) override;
  Result<Secret> get_previous(std::string_view name) override;
  // Without those that hold no value yet.
  Result<std::vector<SecretInfo>> list() override;
  // Marked for deletion, with the recovery window; at_once also takes what is marked already. A secret that is marked counts as absent.
  Result<std::optional<TimePoint>> remove(std::string_view name, Removal how) override;
  // By the secret's rotation function, where it has one that is on.
  Result<std::optional<SecretInfo>> rotate(std::string_view name) override;
  Result<std::vector<UnreadableSecret>> verify_all() override { return std::vector<UnreadableSecret>(); }

 private:
  SecretsManagerStore(SecretsManagerStoreOptions options, Client& client) : options_(std::move(options)), client_(client) {}
  std::string id_of(std::string_view name) const { return options_.prefix + std::string(name); }
  Result<Secret> value_of(std::string_view name, const char* stage);
  Result<Json> describe(std::string_view name);
  Result<Json> make(std::string_view name, const std::string& value);
  tl::unexpected<Error> give_back(std::string_view name, Error error);
  tl::unexpected<Error> fail_secret(std::string_view name, Error error) const;

  SecretsManagerStoreOptions options_;
  Client& client_;
};

}  // namespace redoubt::provider::aws
