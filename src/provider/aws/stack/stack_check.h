// SPDX-License-Identifier: Apache-2.0
//
// A live account against the template: what is missing, what was opened, what differs.
#pragma once

#include <vector>

#include "provider/aws/stack/stack.h"

namespace redoubt::provider::aws::stack {

enum class Fault { missing, too_open, differs, stale };
const char* to_string(Fault fault);

struct StackFinding {
  Fault fault = Fault::missing;
  std::string resource;  // its name in the template: "JobRole"
  std::string type, id;  // "AWS::IAM::Role", "redoubt-dev-job"
  std::string detail;    // "Policies: allows what the template does not: s3:* on *"
};

struct ReadResource {
  std::string resource, type, id;
};

struct StackReport {
  std::string status;
  std::vector<ReadResource> read = {};     // one by one
  std::vector<std::string> not_read = {};  // those whose type is known by the stack alone
  std::vector<StackFinding> findings = {};
  std::vector<std::string> notes = {};     // what is as it should be, and worth knowing: "ArtifactsBucket: MFA delete is off: ..."
};

// Reads every resource that the template makes under the stack's own parameters. not_found where there is no stack.
// `now` tells the age of secrets.
Result<StackReport> check_stack(Stack& stack, Client& client, const Template& source, TimePoint now);

}  // namespace redoubt::provider::aws::stack
