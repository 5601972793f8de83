// SPDX-License-Identifier: Apache-2.0
//
// `deploy.access` of the pipeline file: who may come besides the keys, and what tenants may use (docs/endpoint.md).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "crypto/tls.h"
#include "gateway/authentication.h"
#include "gateway/budget.h"
#include "gateway/issuer_keys.h"

namespace redoubt::gateway {

struct OidcOptions {
  TokenRules rules;
  std::string key_set_file;  // empty: the keys come from `source`
  KeySource source;
};

struct AccessOptions {
  std::string aws_region = "us-east-1";
  std::string certificate_file, key_file;  // PEM; empty: one of the workspace's own authority
  std::optional<OidcOptions> oidc;
  crypto::ClientCertificates client_certificates = crypto::ClientCertificates::none;
  std::string client_ca_file;
  std::vector<CertificateRule> certificates;
  std::map<std::string, UseLimits> tenants, models;
  Prices prices;
  bool allow_tls_1_2 = false;  // beside 1.3
};

// invalid_argument names the member.
Result<AccessOptions> read_access(const Json& json);

}  // namespace redoubt::gateway
