// SPDX-License-Identifier: Apache-2.0
//
// The sources of credentials that ask someone: STS, SSO, a process, the container's and the instance's metadata services.
#pragma once

#include "provider/aws/api/credentials.h"

namespace redoubt::provider::aws {

struct RoleRequest {
  std::string role_arn;
  std::string session_name = {};  // empty: one of ours
  std::string external_id = {};
  std::string duration_s = {};    // as the file has it
  std::string where = {};         // FILE:LINE, for errors
};

CredentialSource role_source(const CredentialContext& context, RoleRequest request, CredentialSource base);
// The token is read anew each time: whoever wrote it replaces it before it expires.
CredentialSource web_identity_source(const CredentialContext& context, RoleRequest request, std::string token_file);

// A profile with sso_account_id and sso_role_name, and a session or a start URL. The token is the one that 'aws sso login'
// left in ~/.aws/sso/cache; one that can be refreshed is, and is written back there.
Result<CredentialSource> sso_source(const CredentialContext& context, const Section& profile, const std::string& name);

// Runs the command without a shell; it may ask on the terminal. What it writes is read and never shown.
CredentialSource process_source(std::string command, std::string where);

// AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI: over https, or to this machine and the addresses that only a
// container's host answers. nullopt when neither is set.
Result<std::optional<CredentialSource>> container_source(const CredentialContext& context);
// The instance's role (IMDSv2; never its first version). nullopt when AWS_EC2_METADATA_DISABLED is true.
std::optional<CredentialSource> instance_source(const CredentialContext& context);

// Everything that a profile can say, roles that lead to other profiles included; nullopt when it says nothing of credentials.
Result<std::optional<CredentialSource>> profile_source(const CredentialContext& context, const std::string& name);

// Both halves, or an error that names the one that is missing; nullopt for neither.
Result<std::optional<Credentials>> environment_credentials(const Environment& environment);

// RFC 3339, and with "UTC" or "+00:00" for its Z.
Result<TimePoint> time_of(std::string text);

// {"AccessKeyId", "SecretAccessKey", `token_key`, "Expiration"} as STS, containers, instances and processes give them.
Result<Credentials> credentials_of_json(const Json& json, const char* token_key, const std::string& source);

}  // namespace redoubt::provider::aws
