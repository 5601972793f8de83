// SPDX-License-Identifier: Apache-2.0
//
// A live account against the template: what is missing, what was opened, what differs.
#pragma once

#include <vector>

#include "provider/aws/stack/stack.h"

namespace redoubt::provider::aws::stack {

enum class Fault { missing, too_open, differs };
const char* to_string(Fault fault);

struct StackFinding {
  Fault fault = Fault::missing;
  std::string resource;  // its name in the template: "JobRole"
  std::string type, id;  // "AWS::IAM::Role", "redoubt-dev-job"
  std::string detail;    // "Policies: allows what the template does not: s3:* on *"
};

struct StackReport {
  std::string status;
  int checked = 0;                         // resources that were read one by one
  std::vector<std::string> not_read = {};  // those whose type is known by the stack alone
  std::vector<StackFinding> findings = {};
};

// Reads every resource that the template makes under the stack's own parameters. not_found where there is no stack.
Result<StackReport> check_stack(Stack& stack, Client& client, const Template& source);

}  // namespace redoubt::provider::aws::stack
