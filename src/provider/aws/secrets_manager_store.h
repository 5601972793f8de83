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
  int delete_wait_ms_max = 30'000;  // Secrets Manager deletes in the background: how long a name may take to be free again
};

class SecretsManagerStore final : public SecretStore {
 public:
  // Does not ask AWS anything.
  static Result<std::unique_ptr<SecretsManagerStore>> create(SecretsManagerStoreOptions options, Client& client);

  // `changed` is by the clock of AWS.
  Result<SecretInfo> put(std::string_view name, const Secret& value) override;
  Result<Secret> get(std::string_view name) override;
  Result<Secret> get_previous(std::string_view name) override;
  Result<std::vector<SecretInfo>> list() override;
  // At once and for ever, as the interface says; a secret that somebody else marked for deletion counts as absent, and put answers
  // already_exists until it is gone or restored.
  Status remove(std::string_view name) override;

 private:
  SecretsManagerStore(SecretsManagerStoreOptions options, Client& client) : options_(std::move(options)), client_(client) {}
  std::string id_of(std::string_view name) const { return options_.prefix + std::string(name); }
  Result<Secret> value_of(std::string_view name, const char* stage);
  Result<Json> make(std::string_view name, const std::string& token, const std::string& value);
  tl::unexpected<Error> fail_secret(std::string_view name, Error error) const;

  SecretsManagerStoreOptions options_;
  Client& client_;
};

}  // namespace redoubt::provider::aws
