// SPDX-License-Identifier: Apache-2.0
//
// Whether the stack's roles use what they may do: when each was last taken on, which services it never called (IAM's service last
// accessed data), and what IAM Access Analyzer says of it.
#pragma once

#include "provider/aws/stack/stack.h"

namespace redoubt::provider::aws::stack {

struct RoleAccessOptions {
  int unused_days = 90;           // what was not used for longer is told; a role that is younger has had no time yet
  int wait_s_max = 120;           // for IAM to gather one role's data
};

struct AccessFinding {
  std::string what;    // "unused role", "unused service", "ExternalAccess", "UnusedPermission"
  std::string detail;  // "sns: never", "secretsmanager: GetSecretValue, PutSecretValue"
  std::string cure;
};

struct RoleAccess {
  std::string resource, role;    // "JobRole", "redoubt-dev-job"
  std::string last_used;         // RFC 3339; empty where IAM knows of no use
  int services = 0;              // that its policies name
  std::vector<AccessFinding> findings = {};
};

struct RoleAccessReport {
  std::vector<RoleAccess> roles = {};
  bool has_analyzer = false;     // else nobody looks at access from outside
};

// Errors name the role and the permission that is missing.
Result<RoleAccessReport> read_role_access(Client& client, const std::vector<StackResource>& resources, TimePoint now, const RoleAccessOptions& options = {});

}  // namespace redoubt::provider::aws::stack
