// SPDX-License-Identifier: Apache-2.0
//
// ImageStore over a repository of ECR: its registry speaks the OCI distribution specification, and takes a token of twelve hours
// that ECR's API gives. The repository scans on push, never moves a tag and is encrypted under a KMS key; one that does not is refused.
#pragma once

#include <memory>

#include "provider/aws/api/client.h"
#include "provider/registry/registry_image_store.h"

namespace redoubt::provider::aws {

struct EcrImageStoreOptions {
  std::string repository;         // its name, "redoubt"
  std::string kms_key = {};       // of a repository that is made: alias, id or ARN; empty: the account's aws/ecr
  std::string registry_url = {};  // https://HOST[:PORT] instead of the registry that ECR names
  std::string ca_file = {};       // PEM of the authority that signed the registry's certificate; empty: the system's
};

// Makes the repository where there is none. Errors of ECR's API and of RegistryClient::open; gate_refused for a repository whose
// tags move, that does not scan, or that no KMS key encrypts.
Result<std::unique_ptr<registry::RegistryImageStore>> open_ecr_image_store(EcrImageStoreOptions options, Client& client, const Clock& clock);

// The token as a registry takes it.
Result<registry::RegistryLogin> ecr_login(Client& client);

}  // namespace redoubt::provider::aws
