// SPDX-License-Identifier: Apache-2.0
//
// What a service says of a call that is not allowed, in the words of IAM's documentation ("Troubleshoot access denied error messages"):
// "User: PRINCIPAL is not authorized to perform: ACTION on resource: RESOURCE because no identity-based policy allows the ACTION action",
// or "... with an explicit deny in a service control policy".
#pragma once

#include <string>
#include <string_view>

namespace redoubt::provider::aws {

// What is not told is empty; the action is then the one that the operation needs.
struct Denial {
  std::string principal, action, resource;
  std::string policy;        // the kind of policy: "identity-based policy", "permissions boundary"
  bool is_explicit = false;  // that policy denies it, rather than not allowing it
};

// `subject` names the operation as "kms.Encrypt".
Denial read_denial(std::string_view message, std::string_view subject);

// "allow kms:Decrypt on RESOURCE to PRINCIPAL: no identity-based policy does".
std::string cure_of(const Denial& denial);

// The IAM action that an operation needs, "s3:ListBucket" for "s3.ListObjectsV2".
std::string action_of(std::string_view subject);

}  // namespace redoubt::provider::aws
